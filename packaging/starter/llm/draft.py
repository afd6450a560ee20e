"""A conversation while it grows."""

from __future__ import annotations

import random
from typing import Any

from .sample import Exchange, Message, Sample
from .tool import calls, tools


class Draft:
    """Turns are added one by one; `done` makes it a sample."""

    def __init__(self, rng: random.Random, held: bool, thinking: bool) -> None:
        self.rng, self.held, self.thinking = rng, held, thinking
        self.messages: list[Message] = []
        self.tools: list[dict[str, Any]] = []
        self.last: Exchange | None = None

    def system(self, text: str) -> None:
        self.messages.insert(0, {"role": "system", "content": text})

    def answer(self, exchange: Exchange, calls: list[Message] | None = None, keep_thought: bool = False) -> None:
        message: Message = {"role": "assistant", "content": "" if calls else exchange.answer}
        if calls:
            message["tool_calls"] = calls
        self.messages.append(message)
        self.last = exchange
        if keep_thought and self.thinking:
            message["reasoning_content"] = exchange.thought

    def turn(self, exchange: Exchange) -> None:
        self.messages.append({"role": "user", "content": exchange.user})
        self.answer(exchange)

    def call(self, box: list[tools.Tool], finish: bool) -> None:
        """A request, its call, and unless the conversation ends with the call, results and report."""
        exchange, made = calls.call(self.rng, self.held, box)
        self.messages.append({"role": "user", "content": exchange.user})
        called = [tools.called(tool.name, arguments) for tool, arguments in made]
        self.answer(exchange, called, keep_thought=self.rng.random() < 0.5)
        if finish:
            results, said = calls.report(self.rng, self.held, len(made))
            self.messages += [{"role": "tool", "content": result} for result in results]
            self.answer(said)

    def done(self, task: str | None = None) -> Sample:
        assert self.last is not None
        final = self.messages[-1]
        if self.thinking:
            final["reasoning_content"] = self.last.thought
        else:
            final.pop("reasoning_content", None)
            for message in self.messages:
                message.pop("reasoning_content", None)
        return Sample(task or self.last.task, self.messages, self.tools, self.thinking, self.last.check)
