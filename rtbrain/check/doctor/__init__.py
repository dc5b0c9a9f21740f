"""What may keep a session from working: one check a thing, each with one fix. Without Qt."""
