"""Prompts on their way into the caches: in groups, in turns, in chunks and pieces, at the pace of the device."""
