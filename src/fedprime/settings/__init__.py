"""What a person can set: the list, reading it from files and flags, recipes and plans."""
