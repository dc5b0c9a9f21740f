"""The spectra panel."""
