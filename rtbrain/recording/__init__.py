"""A session on disk, both ways: readers, replay and export."""
