"""7. Results out: decode, status and signal streams over LSL."""
