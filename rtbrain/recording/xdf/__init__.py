"""XDF files, written so that a kill loses seconds and read without loading them whole."""
