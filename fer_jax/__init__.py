"""Facial expressions seen by people and by networks: an ensemble, its explanations, and their comparison."""

__version__ = "0.1.0"
