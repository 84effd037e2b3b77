"""What the picture shows: skin, features, hair, body, backdrop, occluders, and the camera's colours and noise."""
