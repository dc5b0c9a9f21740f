"""Operation over days: what a crash costs, how it is made good, and what a monitor can read."""
