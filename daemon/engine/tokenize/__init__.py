"""The tokenizer process: what a model's tokenizer can tell while its weights are not in memory."""
