"""What every card shares: the command line, locks, progress, the log of metrics, and how JAX computed."""
