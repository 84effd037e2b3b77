"""A run: one folder of results, and the stages that fill it."""
