"""Front ends and encoders, ranked where the best possible score is known."""
