"""One model in memory: its files, its precision, its forward pass."""
