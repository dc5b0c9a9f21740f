"""The published architectures and the causal student, in eager torch."""
