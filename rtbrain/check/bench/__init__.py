"""How fast this machine is: stages, encoders, the live loop and the window."""
