"""Text generation: the loop, its scheduler, batches, prefill, sampling."""
