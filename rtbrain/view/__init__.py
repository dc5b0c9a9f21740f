"""8. The live window: an LSL client in a process of its own."""
