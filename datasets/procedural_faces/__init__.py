"""Procedural faces as a TFDS data set."""
