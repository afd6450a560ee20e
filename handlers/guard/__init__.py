"""Who may call what on the TCP port."""
