"""Data sets, what is missing of them, and who owns what."""
