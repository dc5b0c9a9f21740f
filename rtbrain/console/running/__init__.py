"""The step Run of the session console."""
