"""The health bar: stream, decoder, recorder, latency and load."""
