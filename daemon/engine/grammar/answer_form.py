"""What the whole answer to a prompt must look like: reasoning, where it may come first, and then what was asked for,
or calls of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llguidance import LLMatcher

from ...protocol import ChatPrompt, Generate
from .answer_rules import answer_rule, json_expression
from .call_shape import CallShape
from .calls import ANY_ARGUMENTS, Signature, call_rules, signatures
from .literals import BadGrammar, Block, Literals
from .validity import check

AROUND = r"around: /[ \t\r\n]{0,4}/"
"""White space beside a reasoning block or a call is layout, not answer."""


ANYTHING = r"rest: /(.|\n)*/"


class Unforced(Exception):
    """Nobody knows how this model writes calls, so none can be forced."""


def bound_by(request: Generate) -> str:
    """The field of the client's request that makes its answer be bound."""
    return "tools" if request.grammar is None else request.grammar.param


class AnswerForm:
    """Of one model: `thinking` and `calls` are its markers, without `start` where it has none, and `shape` how it
    writes calls, where that is known; `special` are the special tokens of its vocabulary by their texts. `answer` has
    to stand before an answer."""

    def __init__(
        self, thinking: Block, calls: Block, shape: CallShape | None, special: Mapping[str, int], answer: str = ""
    ) -> None:
        self._thinking = thinking
        self._calls = calls
        self._shape = shape
        self._answer = answer
        self._literals = Literals(special)

    def binds(self, request: Generate) -> bool:
        """Whether the answer may not be anything. Raises Unforced."""
        calling = request.calling
        if calling.required and self._shape is None:
            raise Unforced
        if request.grammar is not None or calling.required:
            return True
        offered = self._offered(request)
        follows = self._shape is not None and bool(self._shape.trigger)
        bound = bool(calling.names) or not calling.parallel or any(tool.strict for tool in offered)
        return follows and bool(offered) and bound

    def grammar(self, request: Generate, rendered: str, opened: bool) -> str:
        """As llguidance reads it, for an answer that is bound. `opened`: the prompt, `rendered`, opens a reasoning
        block. Raises BadGrammar; may take for ever."""
        reasoning, tools = self._reasoning(request, rendered, opened), self._offered(request)
        try:
            check(self._whole(request, reasoning, tools, Literals({})))
        except BadGrammar as error:
            tools = self._kept(tools, error)
            check(self._whole(request, reasoning, tools, Literals({})))
        return self._whole(request, reasoning, tools, self._literals)

    def _reasoning(self, request: Generate, rendered: str, opened: bool) -> Block | None:
        """None: the answer itself comes first."""
        block, prompt = self._thinking, request.prompt
        if not (block.end and request.split_reasoning):
            return None
        if opened:
            return replace(block, opened=True)
        if not block.start:
            return None
        if not isinstance(prompt, ChatPrompt) or prompt.continue_last or prompt.thinking is False:
            return None
        return None if rendered.rstrip().endswith(block.end) else block

    def _offered(self, request: Generate) -> list[Signature]:
        if not request.parse_tools or not isinstance(request.prompt, ChatPrompt):
            return []
        return signatures(request.prompt.tools, request.calling.names)

    def _whole(self, request: Generate, reasoning: Block | None, tools: Sequence[Signature], literals: Literals) -> str:
        rules = []
        if reasoning is not None:
            resume = f" {literals.lark(reasoning.resume)}" if reasoning.resume else ""
            block = f"thought{resume}" if reasoning.opened else f"({literals.lark(reasoning.start)} thought{resume})?"
            rules += [f"thinking: {block} around", *literals.up_to("thought", reasoning.end)]
        said, more = self._said(request, tools, literals)
        start = f"start: {said}" if reasoning is None else f"start: thinking ({said})"
        return str(LLMatcher.grammar_from_lark("\n".join([start, *rules, *more, AROUND])))

    def _kept(self, tools: Sequence[Signature], error: BadGrammar) -> list[Signature]:
        """The tools without the schemas that nobody can keep, where they need not be kept. Raises BadGrammar naming the
        first one that has to be, and the error itself where it is about something else."""
        kept = []
        for tool in tools:
            try:
                check(str(LLMatcher.grammar_from_lark("\n".join(self._alone(tool)))))
                kept.append(tool)
            except BadGrammar as reason:
                if tool.strict:
                    raise BadGrammar(str(reason), tool.param) from reason
                kept.append(replace(tool, parameters=ANY_ARGUMENTS))
        if kept == list(tools):
            raise error
        return kept

    def _alone(self, tool: Signature) -> list[str]:
        """A grammar for what one tool needs."""
        if self._shape is None:
            return [f"start: {json_expression(dict(tool.parameters), lenient=not tool.strict)}"]
        return ["start: calls", *call_rules(self._shape, [tool], Literals({}), parallel=False)]

    def _said(self, request: Generate, tools: Sequence[Signature], literals: Literals) -> tuple[str, list[str]]:
        """What comes after the reasoning, and the rules that it needs."""
        shape, grammar, calling = self._shape, request.grammar, request.calling
        called: list[str] = []
        forced = ""
        if tools and shape is not None:
            called = call_rules(shape, tools, literals, parallel=calling.parallel)
            forced = f"{literals.lark(shape.trigger)} calls" if shape.trigger else "calls"
        elif tools and self._calls.start:
            called = [
                f"calls: ({literals.lark(self._calls.start)} any_call around)+",
                *literals.up_to("any_call", self._calls.end),
            ]
            forced = "calls"
        if calling.required:
            return forced, called
        if grammar is not None:
            answer = f"{literals.lark(self._answer)} answer" if self._answer else "answer"
            return (f"{answer} | {forced}" if forced else answer), [answer_rule(grammar), *called]
        assert shape is not None
        if self._answer:  # its answers and its calls begin with markers of their own
            return f"{literals.lark(self._answer)} rest | {forced}", [ANYTHING, *called]
        talk = [*literals.up_to("talk", shape.trigger), ANYTHING]
        return ("(talk calls)* rest" if calling.parallel else "rest | talk calls"), [*talk, *called]
