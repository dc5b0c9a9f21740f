"""LSL: which streams are there, their headers, signals, markers and decodes."""
