"""Who comes in: prompts from the queue, sequences into the batch, and who waits again where memory is full."""
