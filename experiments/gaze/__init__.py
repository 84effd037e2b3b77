"""The page of `experiments.clicks_and_gaze`."""
