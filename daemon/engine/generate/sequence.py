"""One choice of one request on its way through the engine: its tokens, its text, and when to stop."""

from __future__ import annotations

import itertools
import time

from ...protocol import ChatPrompt, Delta, Finished, FinishReason, TokenLogprob, ToolCall
from ..model.load import LanguageModel
from ..output.formats.bound import BoundFormat
from ..output.formats.format import Format
from ..output.formats.marked import MarkedFormat
from ..output.formats.plain import PlainFormat
from ..output.pieces import Call, Piece, Reasoning
from ..output.stops import StopStrings
from ..prompt.render import Prepared
from .draw import Draw

_ids = itertools.count(1)


class Sequence:
    """`tokens` is prompt and answer; the last one is not in any cache yet. `launched` counts the steps started for it,
    `generated` the tokens that were read. `stopping`: its stop token is drawn, but not yet accepted. `id` is its own,
    `ask` that of the request."""

    def __init__(self, ask: int, choice: int, prepared: Prepared, draw: Draw, model: LanguageModel) -> None:
        request = prepared.request
        self.id = next(_ids)
        self.ask = ask
        self.choice = choice
        self.request = request
        self.draw = draw
        self.tokens = list(prepared.tokens)
        self.pictures = prepared.pictures
        self.prompt_tokens = len(prepared.tokens)
        self.room = prepared.room
        self._rendered = prepared.rendered
        self.launched = 0
        self.generated = 0
        self.reason: FinishReason | None = None
        self.stopping = False
        self._model = model
        answers = isinstance(request.prompt, ChatPrompt) and not request.prompt.continue_last
        self._text = model.vocabulary.detokenizer(() if answers else prepared.tokens)
        self._stops = StopStrings(request.stop)
        self._format = _format(prepared, model)
        self.constraint = None if prepared.compiled is None else prepared.compiled.constraint()
        self._called = False
        self._reasoning_tokens = 0
        self.arrived = time.monotonic()
        self.admitted: float | None = None
        self.first_token: float | None = None

    @property
    def length(self) -> int:
        return len(self.tokens)

    @property
    def prompt(self) -> str:
        """The prompt's text, as it was sent or as its tokens spell it."""
        return self._rendered or self._model.vocabulary.decode(self.tokens[: self.prompt_tokens])

    @property
    def exhausted(self) -> bool:
        """Every token it may have is launched: it needs no further step."""
        return self.launched >= self.room

    def accept(self, token: int, logprob: TokenLogprob | None) -> Delta | None:
        """Take one drawn token. Gives what may be shown, sets `reason` when the sequence ends with it."""
        if self.first_token is None:
            self.first_token = time.monotonic()
        if token in self._model.stop_tokens and not self.request.ignore_eos:
            return self._end("stop")
        self.tokens.append(token)
        self.generated += 1
        channel = self._format.channel
        if channel == "reasoning":
            self._reasoning_tokens += 1
        text = self._text.add(token)
        if channel == "tool" and token in self._model.vocabulary.hidden:
            text += self._model.vocabulary.added[token]  # a call's own markup, which its parser reads
        shown = self._shown(self._format.add(text) if text else [], logprob)
        if self._stops.found is not None:
            self.reason = "stop"
        elif self.constraint is not None and self.constraint.ended:
            return self._end("stop", shown)
        elif self.generated >= self.room:
            return self._end("length", shown)
        return shown

    def _end(self, reason: FinishReason, shown: Delta | None = None) -> Delta | None:
        """The text ends here: let go what was kept back."""
        self.reason = reason
        text = self._text.finish()
        pieces = (self._format.add(text) if text else []) + self._format.finish()
        rest = self._shown(pieces, None, final=True)
        if self._stops.found is not None:
            self.reason = "stop"
        if shown is None or rest is None:
            return shown or rest
        return Delta(
            id=self.ask,
            choice=self.choice,
            text=shown.text + rest.text,
            reasoning=shown.reasoning + rest.reasoning,
            tool_calls=shown.tool_calls + rest.tool_calls,
            logprobs=shown.logprobs,
            tokens=self.generated,
        )

    def cut(self) -> Delta | None:
        """The sequence ends before its next token. Gives what was kept back, sets `reason`."""
        return self._end("length")

    def _shown(self, pieces: list[Piece], logprob: TokenLogprob | None, *, final: bool = False) -> Delta | None:
        content, reasoning = "", ""
        calls: list[ToolCall] = []
        for piece in pieces:
            if isinstance(piece, Call):
                calls.append(ToolCall(name=piece.name, arguments=piece.arguments))
            elif isinstance(piece, Reasoning):
                reasoning += piece.text
            else:
                content += self._stops.add(piece.text)
        if final:
            content += self._stops.finish()
        self._called = self._called or bool(calls)
        if not (content or reasoning or calls or logprob):
            return None
        return Delta(
            id=self.ask,
            choice=self.choice,
            text=content,
            reasoning=reasoning,
            tool_calls=tuple(calls),
            logprobs=(logprob,) if logprob else (),
            tokens=self.generated,
        )

    def finished(self, *, last: bool) -> Finished:
        """The last event of the choice, once `reason` is set. `last`: no other choice of its request is left."""
        now = time.monotonic()
        admitted = self.admitted or now
        first = self.first_token or now
        reason = self.reason or "stop"
        return Finished(
            id=self.ask,
            choice=self.choice,
            last=last,
            reason="tool_calls" if self._called and reason == "stop" else reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.generated,
            reasoning_tokens=self._reasoning_tokens,
            stop_sequence=self._stops.found,
            queue_seconds=admitted - self.arrived,
            prefill_seconds=first - admitted,
            decode_seconds=now - first,
            context=tuple(self.tokens) if self.request.want_context else None,
        )


def _format(prepared: Prepared, model: LanguageModel) -> Format:
    request, markers = prepared.request, model.markers
    reasoning = request.split_reasoning and bool(markers.think_start)
    calls = request.parse_tools and bool(markers.tool_start)
    if not reasoning and not calls:
        return PlainFormat()
    bound = request.grammar is not None and prepared.compiled is not None
    marked = MarkedFormat(
        markers,
        model.tool_parser,
        request.prompt.tools if isinstance(request.prompt, ChatPrompt) else (),
        reasoning=reasoning and not bound,
        calls=calls,
        inside_reasoning=prepared.inside_reasoning,
    )
    if not bound:
        return marked
    inside = reasoning and prepared.inside_reasoning
    return BoundFormat(markers, reasoning=reasoning, inside=inside, calls=marked if calls else None)
