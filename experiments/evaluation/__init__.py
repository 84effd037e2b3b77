"""What `experiments.evaluate` scores: the pictures of a run, and those of another set."""
