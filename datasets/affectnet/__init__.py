"""AffectNet as a TFDS data set."""
