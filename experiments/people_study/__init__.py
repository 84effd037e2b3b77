"""The analysis of a click study: its tables and its page."""
