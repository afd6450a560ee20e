"""Caches of prompts that were read, kept for those that begin in the same way."""
