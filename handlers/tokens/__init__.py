"""Counting tokens, and turning them back into text: our own endpoints, after vLLM's and Jina's."""
