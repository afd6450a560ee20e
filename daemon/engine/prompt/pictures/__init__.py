"""Pictures of a prompt: files to pixels, and the tokens that stand for them."""
