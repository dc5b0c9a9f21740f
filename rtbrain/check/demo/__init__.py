"""The demo: a synthetic patient, fitted, decoded live and scored."""
