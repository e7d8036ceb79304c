"""What is missing, how it comes about, and what that tells."""
