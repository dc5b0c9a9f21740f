"""2. Chunk to Chunk: causal filters, references and resampling, state carried."""
