"""Jina's dialect: reranking."""
