"""5. Spectrogram to Embedding: BrainBERT, Population Transformer, their compiled form."""
