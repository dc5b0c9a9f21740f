"""Faster encoders for a decoder, installed only after a check of its decodes."""
