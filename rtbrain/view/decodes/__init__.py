"""The decode panel: the decision card and the history of probabilities."""
