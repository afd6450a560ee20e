"""The commands of `mlx-serve`: one function each, `Session` in, exit status out."""
