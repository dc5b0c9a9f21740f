"""How long a decision takes through each output and back, and whether one is lost."""
