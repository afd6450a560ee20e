"""Key-value caches and recurrent states, one row a sequence."""
