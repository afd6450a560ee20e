"""The dialects: bodies in, engine requests out; deltas in, wire format out."""
