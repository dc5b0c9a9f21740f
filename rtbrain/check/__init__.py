"""Checks of an installation: faults, speed, compiled models, the demo."""
