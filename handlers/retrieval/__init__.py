"""What the dialects of embeddings and reranking share."""
