"""Timing only: the suites of `python -m benchmarks`, what they measure with, and the peers they measure against."""
