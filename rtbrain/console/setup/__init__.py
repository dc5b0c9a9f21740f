"""The step Set up of the session console."""
