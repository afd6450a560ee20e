"""What can stand on the command line: commands, options, and the texts that become values."""
