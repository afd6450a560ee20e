"""One choice of one request on its way through the engine: its tokens, its text, and when to stop."""

from __future__ import annotations

import itertools
import time

import numpy as np

from ...protocol import ChatPrompt, Delta, Finished, FinishReason, TextPrompt, TokenLogprob, ToolCall
from ..model.load import LanguageModel
from ..output.formats.bound import BoundFormat
from ..output.formats.family import Family
from ..output.formats.format import Format
from ..output.formats.plain import PlainFormat
from ..output.formats.table import find_family, open_format
from ..output.formats.thought_budget import Guide, ThoughtBudget
from ..output.pieces import Call, CallDelta, Piece, Reasoning
from ..output.stops import StopStrings
from ..prefix.chain import Chain
from ..prefix.layers import Parts
from ..prompt.prepared import Prepared
from ..vision.picture_places import PicturePlaces
from .sampling.draw import Draw
from .token_channels import TokenChannels

_ids = itertools.count(1)


class Sequence:
    """`tokens` is prompt and answer; the last one is not in any cache yet. `launched` counts the steps started for it,
    `generated` the tokens that were read. `stopping`: its stop token is drawn, but not yet accepted; `ended_by`: it
    is accepted, and none of `tokens`. `cached`: how many tokens of its prompt need not be read when it is admitted
    first. `chain`: of its tokens, or where `places` has pictures, of what stands for theirs. `windows`: of each block
    of its answer, what windows will have moved past. `id` is its own, `ask` that of the request."""

    def __init__(self, ask: int, choice: int, prepared: Prepared, draw: Draw, model: LanguageModel) -> None:
        request = prepared.request
        self.id = next(_ids)
        self.ask = ask
        self.choice = choice
        self.request = request
        self.draw = draw
        self.tokens = list(prepared.tokens)
        self.pictures = prepared.pictures
        self.places = PicturePlaces(
            ((one.key, np.frombuffer(one.places, np.int32)) for one in prepared.pictures),
            together=getattr(model.network, "together", "nowhere") != "nowhere",
        )
        self.prompt_tokens = len(prepared.tokens)
        self.room = prepared.room
        self.chain = Chain(self.places.named(self.tokens)) if self.places else Chain(self.tokens, prepared.packed)
        self.cached = 0
        self.windows: dict[int, Parts] = {}
        self._rendered = prepared.rendered
        self.launched = 0
        self.generated = 0
        self.reason: FinishReason | None = None
        self.stopping = False
        self.ended_by: int | None = None
        self._model = model
        answers = isinstance(request.prompt, ChatPrompt) and not request.prompt.continue_last
        inserts = isinstance(request.prompt, TextPrompt) and request.prompt.suffix is not None
        self._ends = model.stop_tokens | model.insertion_ends if inserts else model.stop_tokens
        self._text = model.vocabulary.detokenizer(() if answers else prepared.tokens)
        self._stops = StopStrings(request.stop)
        self._format = _format(prepared, model)
        self._grammar: Guide | None = None if prepared.compiled is None else prepared.compiled.constraint()
        self._budget = _thought_budget(self.tokens, prepared, model, self._grammar)
        self._thinks_until = getattr(request.prompt, "thinking_budget", None) or 0
        self._channels = None if isinstance(self._format, PlainFormat) else TokenChannels()
        self._calls = 0
        self._reasoning_tokens = 0
        self.arrived = time.monotonic()
        self.admitted: float | None = None
        self.first_token: float | None = None

    @property
    def constraint(self) -> Guide | None:
        """What binds the next token: a grammar, and a budget of thought from the moment on that it may be used up."""
        budget = self._budget
        if budget is not None and budget.over:
            budget = self._budget = None
        if budget is not None and (self._grammar is not None or self.launched >= self._thinks_until):
            return budget
        return self._grammar

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

    def ends_with(self, token: int) -> bool:
        """Whether the answer ends before this token: at its model's end of text, an insertion at other markers too."""
        return token in self._ends and not self.request.ignore_eos

    def accept(self, token: int, logprob: TokenLogprob | None) -> Delta | None:
        """Take one drawn token. Gives what may be shown, sets `reason` when the sequence ends with it."""
        if self.first_token is None:
            self.first_token = time.monotonic()
        if self.ends_with(token):
            self.ended_by = token
            return self._end("stop")
        self.tokens.append(token)
        if self.places:
            self.chain.tokens.append(token)
        self.generated += 1
        channel = self._format.channel
        if channel == "reasoning":
            self._reasoning_tokens += 1
        text = self._text.add(token)
        pieces = self._format.add(text) if text else []
        logprobs: tuple[TokenLogprob, ...] = () if logprob is None else (logprob,)
        if self._channels is not None:
            logprobs = self._channels.add(logprob, text, channel, self._format.channel, pieces)
        shown = self._shown(pieces, logprobs)
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
        pieces = (self._format.add(text) if text else []) + self._format.finish(cut=reason == "length")
        rest = self._shown(pieces, self._channels.rest(pieces) if self._channels else (), final=True)
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
            logprobs=shown.logprobs + rest.logprobs,
            tokens=self.generated,
        )

    def cut(self) -> Delta | None:
        """The sequence ends before its next token. Gives what was kept back, sets `reason`."""
        return self._end("length")

    def _shown(self, pieces: list[Piece], logprobs: tuple[TokenLogprob, ...], *, final: bool = False) -> Delta | None:
        content, reasoning = "", ""
        calls: list[ToolCall] = []
        for piece in pieces:
            if isinstance(piece, Call):
                calls.append(ToolCall(name=piece.name, arguments=piece.arguments, index=self._calls))
                self._calls += 1
            elif isinstance(piece, CallDelta):
                calls.append(ToolCall(name=piece.name, arguments=piece.arguments, index=piece.index))
                self._calls = piece.index + 1
            elif isinstance(piece, Reasoning):
                reasoning += piece.text
            else:
                content += self._stops.add(piece.text)
        if final:
            content += self._stops.finish()
        if not (content or reasoning or calls or logprobs):
            return None
        return Delta(
            id=self.ask,
            choice=self.choice,
            text=content,
            reasoning=reasoning,
            tool_calls=tuple(calls),
            logprobs=logprobs,
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
            reason="tool_calls" if self._calls and reason == "stop" else reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.generated,
            cached_tokens=self.cached if self.choice == 0 else 0,
            reasoning_tokens=self._reasoning_tokens,
            stop_sequence=self._stops.found,
            queue_seconds=admitted - self.arrived,
            prefill_seconds=first - admitted,
            decode_seconds=now - first,
            context=tuple(self.tokens) if self.request.want_context else None,
        )


def _family(prepared: Prepared, model: LanguageModel) -> Family:
    prompt = prepared.request.prompt
    template = prompt.template if isinstance(prompt, ChatPrompt) else None
    return model.family if template is None else find_family(template, model.added)


def _thought_budget(
    tokens: list[int], prepared: Prepared, model: LanguageModel, grammar: Guide | None
) -> ThoughtBudget | None:
    prompt, thoughts = prepared.request.prompt, _family(prepared, model).thoughts
    if not isinstance(prompt, ChatPrompt) or prompt.thinking_budget is None or not thoughts:
        return None
    # With a grammar that says itself what comes behind the block.
    text = thoughts[0].end if grammar is not None else thoughts[0].closing or thoughts[0].end
    closing = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ThoughtBudget(
        prompt.thinking_budget,
        thoughts[0],
        closing,
        tokens,
        model.vocabulary.detokenizer(),
        inside=prepared.inside_reasoning,
        grammar=grammar,
    )


def _format(prepared: Prepared, model: LanguageModel) -> Format:
    request, family = prepared.request, _family(prepared, model)
    bound = request.grammar is not None and prepared.compiled is not None and not family.answer
    format = open_format(
        family,
        request.prompt.tools if isinstance(request.prompt, ChatPrompt) else (),
        reasoning=request.split_reasoning and not bound,
        calls=request.parse_tools,
        inside_reasoning=prepared.inside_reasoning,
        stream_calls=request.stream_calls,
        bound=prepared.compiled is not None,
    )
    if not bound:
        return format
    thought = family.thoughts[0] if family.thoughts and request.split_reasoning else None
    opener = family.opener if request.parse_tools else ""
    if thought is None and not opener:
        return PlainFormat()
    inside = thought is not None and prepared.inside_reasoning
    return BoundFormat(thought, inside=inside, opener=opener, calls=format if opener else None)
