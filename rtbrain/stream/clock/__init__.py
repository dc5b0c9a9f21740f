"""The sample counter, its map to time, and the effective rate."""
