"""Families that write a call as a JSON object with a name and arguments."""
