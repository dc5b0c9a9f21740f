"""LSL streams: found, opened, and their headers read."""
