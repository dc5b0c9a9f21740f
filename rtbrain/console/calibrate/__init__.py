"""The step Calibrate of the session console."""
