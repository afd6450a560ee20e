"""Qwen3-Reranker's prompt, word for word, and the answer's two tokens."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
YES, NO = "yes", "no"

# The same as a chat template: a system and a user message, add_generation_prompt, and enable_thinking=False.
TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text().rstrip("\n")


def body(instruction: str, query: str, document: str) -> str:
    return f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"


class Prompts:
    """Texts as tokens; the three parts are cut apart as Qwen3-Reranker's own code cuts them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.prefix = tokenizer.encode(PREFIX, add_special_tokens=False).ids
        self.suffix = tokenizer.encode(SUFFIX, add_special_tokens=False).ids
        self.yes, self.no = tokenizer.token_to_id(YES), tokenizer.token_to_id(NO)
        if self.yes is None or self.no is None:
            raise ValueError('"yes" and "no" must be single tokens')

    def ids(self, instruction: str, query: str, document: str, tokenizer: Tokenizer | None = None) -> list[int]:
        """`tokenizer` is another one for the middle, with the same tokens."""
        text = body(instruction, query, document)
        middle: list[int] = (tokenizer or self._tokenizer).encode(text, add_special_tokens=False).ids
        return [*self.prefix, *middle, *self.suffix]
