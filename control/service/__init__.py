"""The daemon as a service: the files that launchd and systemd read, and what is asked of them."""
