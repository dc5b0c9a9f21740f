"""Offline work on recordings: fitting, evaluation."""
