"""Models that see: vision towers of mlx-vlm in front of language networks of mlx-lm."""
