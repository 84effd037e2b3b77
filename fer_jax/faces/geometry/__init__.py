"""Where things lie: from a person and action units to curves in space, their relief, and the camera that sees them."""
