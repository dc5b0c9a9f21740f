"""Pretraining objectives, each with its equation in the docstring."""
