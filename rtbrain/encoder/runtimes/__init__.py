"""Compiled forms of an encoder: made here, checked against eager, shape-locked."""
