"""Front ends of a linear decoder: which there are, what each sees, and the choice among them."""
