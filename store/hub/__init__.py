"""A Hugging Face repository: what it holds, what of it is needed, and how its bytes come here."""
