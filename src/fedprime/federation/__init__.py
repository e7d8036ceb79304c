"""The rounds, and what happens to an update on its way."""
