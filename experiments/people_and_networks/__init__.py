"""What experiments.compare_people and experiments.compare_attention need: tables, and their pages."""
