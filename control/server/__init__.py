"""The control API on the daemon's Unix socket."""
