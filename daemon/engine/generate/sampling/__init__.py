"""How tokens are drawn from logits, for all rows of a batch at once, and what they were worth."""
