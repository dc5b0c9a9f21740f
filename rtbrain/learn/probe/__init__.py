"""What a frozen encoder's features are good for, by the number of labels."""
