"""What the tiny embedding models and rerankers are asked about."""

from __future__ import annotations

TEXTS = (
    "hello",
    "The train to Hamburg departs at 9:40.",
    "a",
    "import os\nimport sys\n\ndef main() -> None:\n    print('hello and the system')\n",
    "",
    "日本語のテキスト und ein bißchen Français é",
    "word " * 18,
    "one two three four five six seven eight nine ten",
    "odd \x01 byte",
    "The Quick BROWN fox jumps over the lazy dog; then it sleeps.",
    "tail",
)
QUERY = "When does the train leave?"
DOCUMENTS = (
    "The train departs at 9:40.",
    "no",
    "A ticket costs 36 euros; and the ticket for a child costs half of that.",
    "\n\nHamburg expects rain on Tuesday.",
    "日本",
    "The train",
    " starts with a space",
)
