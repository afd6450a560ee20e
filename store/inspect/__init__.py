"""What a model's files say about it, found out before they are stored."""
