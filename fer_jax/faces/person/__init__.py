"""Who is drawn: a person's numbers and colours, and the regions of a face."""
