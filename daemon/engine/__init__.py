"""The child's side: the only folder that imports mlx."""
