"""The synthetic patient: anatomy, noise, a task and its rhythms."""
