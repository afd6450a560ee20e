"""What a running daemon does when it is told to read its settings again."""
