"""What experiments.compare_people needs: tables, and their page."""
