"""RAF-DB as a TFDS data set."""
