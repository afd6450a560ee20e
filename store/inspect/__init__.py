"""What a model's files say about it, read before they are stored."""
