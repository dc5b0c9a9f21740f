"""Live streams into an XDF file, in a process of their own."""
