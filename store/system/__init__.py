"""What the store asks of the operating system that Python has no call for."""
