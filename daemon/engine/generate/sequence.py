"""One request on its way through the engine: its tokens, its text, and when to stop."""

from __future__ import annotations

import time
from typing import Any

from ...protocol import ChatPrompt, Delta, Finished, FinishReason, TokenLogprob, ToolCall
from ..model.load import LanguageModel
from ..output.channels import ChannelSplitter, parse_tool_calls
from ..output.detokenize import StopStrings
from ..prompt.render import Prepared
from .draw import Draw


class Sequence:
    """`tokens` is prompt and answer; the last one is not in any cache yet. `launched` counts the steps started for it,
    `generated` the tokens that were read. `stopping`: its stop token is drawn, but not yet accepted."""

    def __init__(self, prepared: Prepared, draw: Draw, model: LanguageModel) -> None:
        request = prepared.request
        self.id = request.id
        self.request = request
        self.draw = draw
        self.tokens = prepared.tokens
        self.prompt_tokens = len(prepared.tokens)
        self.room = prepared.room
        self.launched = 0
        self.generated = 0
        self.reason: FinishReason | None = None
        self.stopping = False
        self._model = model
        answers = isinstance(request.prompt, ChatPrompt) and not request.prompt.continue_last
        self._text = model.vocabulary.detokenizer(() if answers else prepared.tokens)
        self._stops = StopStrings(request.stop)
        self._splitter = ChannelSplitter(
            model.markers,
            reasoning=request.split_reasoning,
            tools=request.parse_tools,
            inside_reasoning=prepared.inside_reasoning,
        )
        self._tools: list[dict[str, Any]] = list(getattr(request.prompt, "tools", ()))
        self._called = False
        self._reasoning_tokens = 0
        self.arrived = time.monotonic()
        self.admitted: float | None = None
        self.first_token: float | None = None

    @property
    def length(self) -> int:
        return len(self.tokens)

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
        if self._splitter.channel == "reasoning":
            self._reasoning_tokens += 1
        text = self._text.add(token)
        if self._splitter.channel == "tool" and token in self._model.vocabulary.hidden:
            text += self._model.vocabulary.added[token]  # a call's own markup, which its parser reads
        shown = self._shown(text, logprob)
        if self._stops.found is not None:
            self.reason = "stop"
        elif self.generated >= self.room:
            return self._end("length", shown)
        return shown

    def _end(self, reason: FinishReason, shown: Delta | None = None) -> Delta | None:
        """The text ends here: let go what was kept back."""
        self.reason = reason
        rest = self._shown(self._text.finish(), None, final=True)
        if self._stops.found is not None:
            self.reason = "stop"
        if shown is None or rest is None:
            return shown or rest
        return Delta(
            id=self.id,
            text=shown.text + rest.text,
            reasoning=shown.reasoning + rest.reasoning,
            tool_calls=shown.tool_calls + rest.tool_calls,
            logprobs=shown.logprobs,
            tokens=self.generated,
        )

    def _shown(self, text: str, logprob: TokenLogprob | None, *, final: bool = False) -> Delta | None:
        content, reasoning = "", ""
        calls: tuple[ToolCall, ...] = ()
        pieces = self._splitter.add(text) if text else []
        if final:
            pieces += self._splitter.finish()
        for piece in pieces:
            if piece.channel == "content":
                content += self._stops.add(piece.text)
            elif piece.channel == "reasoning":
                reasoning += piece.text
            else:
                found = self._parse(piece.text)
                calls += found
                content += "" if found else self._stops.add(self._marked(piece.text, final=final))
        if final:
            content += self._stops.finish()
        self._called = self._called or bool(calls)
        if not (content or reasoning or calls or logprob):
            return None
        return Delta(
            id=self.id,
            text=content,
            reasoning=reasoning,
            tool_calls=calls,
            logprobs=(logprob,) if logprob else (),
            tokens=self.generated,
        )

    def _parse(self, text: str) -> tuple[ToolCall, ...]:
        parser = self._model.tool_parser
        return parse_tool_calls(text, parser, self._tools) if parser else ()

    def _marked(self, text: str, *, final: bool) -> str:
        """A call that could not be read goes to the user as the model wrote it."""
        markers = self._model.markers
        return markers.tool_start + text + ("" if final else markers.tool_end)

    def finished(self) -> Finished:
        """The last event, once `reason` is set."""
        now = time.monotonic()
        admitted = self.admitted or now
        first = self.first_token or now
        reason = self.reason or "stop"
        return Finished(
            id=self.id,
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
