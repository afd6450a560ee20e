"""Text for a hole: prompts with a prefix and a suffix, and each family's tokens for them."""
