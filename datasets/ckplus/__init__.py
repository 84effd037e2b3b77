"""CK+ as a TFDS data set."""
