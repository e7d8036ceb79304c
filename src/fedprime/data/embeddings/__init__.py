"""What a frozen backbone made of samples, in memory and on disk."""
