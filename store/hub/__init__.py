"""A Hugging Face repository: its files, which of them are needed, and how they are downloaded."""
