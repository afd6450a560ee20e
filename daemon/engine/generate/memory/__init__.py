"""Memory for caches: what it is counted in, who holds it, and who gives way when it is full."""
