"""A decoder that runs: its source, its session, and whether this machine keeps up."""
