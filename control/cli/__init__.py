"""The mlx-serve command. It imports the standard library until a command needs more."""
