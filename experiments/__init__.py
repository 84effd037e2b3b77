"""Run cards: scripts that turn flags into library calls and files. Not part of the installed package."""
