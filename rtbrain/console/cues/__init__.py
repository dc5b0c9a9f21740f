"""The cue screen, and the process that shows it."""
