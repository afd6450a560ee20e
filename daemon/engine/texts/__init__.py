"""Texts, and pairs of them, to rows of tokens: what the prompt process does for embedding models and rerankers."""
