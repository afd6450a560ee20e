"""Requests to token ids."""
