"""1. Samples in: live LSL streams and FieldTrip buffers, their clocks, their losses."""
