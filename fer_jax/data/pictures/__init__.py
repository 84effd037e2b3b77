"""One picture: from bytes that nobody has checked to a square around a face, and back to bytes."""
