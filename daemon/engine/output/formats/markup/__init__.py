"""Families whose calls have markup of their own around names, parameters or whole messages."""
