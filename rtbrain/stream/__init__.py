"""1. Samples in: live LSL streams, replayed recordings, a synthetic patient."""
