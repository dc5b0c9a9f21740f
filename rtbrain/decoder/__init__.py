"""6. Embedding to Decode: readouts, and the bundle that carries a fitted decoder."""
