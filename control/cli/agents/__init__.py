"""Coding agents and other clients that `mlx-serve launch` runs, and what each needs to reach the daemon."""
