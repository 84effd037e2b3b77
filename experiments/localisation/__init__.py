"""Do explanations find the pixels that matter: scores of maps against drawn faces whose truth is known."""
