"""Data sets, each a reader of its own files."""
