"""Pairs of query and document to scores."""
