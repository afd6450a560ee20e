"""How the answer to a prompt will be written: the family of its chat template, and what that asks of a grammar."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from ....protocol import ChatPrompt, Generate, Prompt, TokenPrompt
from ...grammar.answer_form import AnswerForm, Unforced, bound_by
from ...grammar.literals import BadGrammar, Block
from ...output.formats.family import Family
from ...output.formats.table import find_family
from ..refused import Refused, bad_grammar

Template = str | Mapping[str, str] | None


class AnswerFamilies:
    """Of one model with this template of its own; a request may bring another. `added` are its added tokens, `special`
    those of them that are special, with their ids."""

    def __init__(self, template: Template, added: frozenset[str], special: Mapping[str, int]) -> None:
        self._template = template
        self._added = added
        self._special = special
        self._form = functools.lru_cache(maxsize=8)(self._form_of)

    def family(self, prompt: Prompt) -> Family:
        return self._of(None if isinstance(prompt, TokenPrompt) else prompt.template)

    def _of(self, given: str | None) -> Family:
        return find_family(self._template if given is None else given, self._added)

    def _form_of(self, given: str | None) -> AnswerForm:
        family = self._of(given)
        thinking = Block("", "", resume=family.resume)
        if family.thoughts:
            thinking = Block(family.thoughts[0].start, family.thoughts[0].end, resume=family.resume)
        calls = Block(family.opener, family.closer)
        return AnswerForm(thinking, calls, family.shape, self._special, family.answer)

    def check_budget(self, prompt: Prompt) -> None:
        """Raises Refused for a budget of thought where nothing says where a thought ends."""
        budget = prompt.thinking_budget if isinstance(prompt, ChatPrompt) else None
        if budget is not None and not self.family(prompt).thoughts:
            message = (
                "'thinking_budget' is not supported: no marker of this model's thoughts is known, so none can be ended"
            )
            raise Refused("unsupported", message, "thinking_budget")

    def grammar(self, request: Generate, rendered: str, opened: bool, note: Callable[[str], None]) -> str:
        """What llguidance compiles for the answer, "" where it may be anything. `note` is told the field that asks for
        it before it is composed. Raises Refused."""
        form = self._form(None if isinstance(request.prompt, TokenPrompt) else request.prompt.template)
        try:
            if not form.binds(request):
                return ""
            note(bound_by(request))
            return form.grammar(request, rendered, opened)
        except Unforced:
            message = (
                "'tool_choice' is not supported: this model's calls of tools cannot be forced; use 'auto' or 'none'"
            )
            raise Refused("unsupported", message, "tool_choice") from None
        except BadGrammar as error:
            raise bad_grammar(error.param or bound_by(request), str(error)) from error

    def opens_reasoning(self, prompt: Prompt, rendered: str) -> bool:
        """Whether the answer goes on in a reasoning block: one that the prompt opens at its end or, in an answer that
        is to be continued, has not closed."""
        for thought in self.family(prompt).thoughts:
            if thought.start and rendered.rstrip().endswith(thought.start):
                return True
            if isinstance(prompt, ChatPrompt) and prompt.continue_last and thought.start:
                start = rendered.rfind(thought.start)
                if start >= 0 and thought.start in str(prompt.messages[-1].get("content")):
                    return rendered.find(thought.end, start) < 0
        return False
