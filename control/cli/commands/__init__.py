"""What each command of `mlx-serve` does: one function a command, `Session` in, exit status out."""
