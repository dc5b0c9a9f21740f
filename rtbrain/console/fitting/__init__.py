"""The step Fit of the session console."""
