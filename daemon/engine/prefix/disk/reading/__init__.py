"""Files of blocks come back into memory, ahead of the prompts that wait for them."""
