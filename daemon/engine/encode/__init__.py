"""Texts to hidden states: encoders, tokenizers, and the batches that both kinds of work are done in."""
