"""The harness of every card: the command line, locks, progress, the log of metrics, and how JAX computed."""
