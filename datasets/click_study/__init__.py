"""The click data of a study as a TFDS data set."""
