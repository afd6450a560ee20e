"""What the whole answer to a prompt must look like: reasoning, where it may come first, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...protocol import ChatPrompt, Generate
from .lark_text import Block, Literals, answer_grammar
from .validity import check


class AnswerForm:
    """Of one model: `thinking` and `calls` are its markers, without `start` where it has none; `special` are the
    special tokens of its vocabulary by their texts."""

    def __init__(self, thinking: Block, calls: Block, special: Mapping[str, int]) -> None:
        self._thinking = thinking
        self._calls = calls
        self._literals = Literals(special)

    def grammar(self, request: Generate, rendered: str, opened: bool) -> str:
        """As llguidance reads it; "" where the answer may be anything. `opened`: the prompt, `rendered`, opens a
        reasoning block. Raises BadGrammar; may take for ever."""
        if request.grammar is None:
            return ""
        reasoning, calls = self._reasoning(request, rendered, opened), self._called(request)
        check(answer_grammar(request.grammar, Literals({}), reasoning, calls))
        return answer_grammar(request.grammar, self._literals, reasoning, calls)

    def _reasoning(self, request: Generate, rendered: str, opened: bool) -> Block | None:
        """None: the answer itself comes first."""
        block, prompt = self._thinking, request.prompt
        if not (block.start and block.end and request.split_reasoning):
            return None
        if opened:
            return replace(block, opened=True)
        if not isinstance(prompt, ChatPrompt) or prompt.continue_last or prompt.thinking is False:
            return None
        return None if rendered.rstrip().endswith(block.end) else block

    def _called(self, request: Generate) -> Block | None:
        offered = isinstance(request.prompt, ChatPrompt) and bool(request.prompt.tools)
        return self._calls if request.parse_tools and offered and self._calls.start else None
