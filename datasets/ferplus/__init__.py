"""FER+ as a TFDS data set."""
