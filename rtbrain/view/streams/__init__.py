"""What the window reads from LSL."""
