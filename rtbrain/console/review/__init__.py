"""The step Review of the session console."""
