"""Pictures of your own as a TFDS data set."""
