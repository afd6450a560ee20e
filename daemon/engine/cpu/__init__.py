"""What is done otherwise where MLX computes on a processor."""
