"""Tables as people have them: rows with files, texts, numbers and categories."""
