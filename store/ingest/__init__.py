"""Every way in which a model comes into the store."""
