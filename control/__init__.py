"""The control plane: the Unix socket, the admin routes and the command."""
