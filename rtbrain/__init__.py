"""rtbrain: a real-time streaming decoder for intracranial brain recordings."""

__version__ = "0.1.0"
