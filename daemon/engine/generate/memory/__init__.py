"""Memory for caches: what it is counted in, and who holds it."""
