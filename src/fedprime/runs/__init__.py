"""Runs, whole: one, many, and where Flower starts them."""
