"""A decoder fitted again, with a new session beside what it was fitted on."""
