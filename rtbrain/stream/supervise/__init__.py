"""A source that survives what streams do: lost, back again, changed."""
