"""Faults injected into a signal or an outlet, from a short text."""
