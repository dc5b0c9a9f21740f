"""A source that outlives its sender: lost, found again, refused where it changed."""
