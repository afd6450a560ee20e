"""The control API: what the daemon answers on its Unix socket."""
