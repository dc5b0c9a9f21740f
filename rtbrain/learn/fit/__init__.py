"""Recordings and labels to a readout with scores that hold."""
