"""The suites of `experiments.benchmark`, what they measure with, and the peers they measure against."""
