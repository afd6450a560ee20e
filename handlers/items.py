"""What comes of a request's choices, as their streams are told it; neighbours are joined."""

from __future__ import annotations

from typing import TypeAlias, cast

from ..daemon.protocol import Delta, Finished, TokenLogprob, ToolCall

Item: TypeAlias = tuple[int, Delta | Finished]  # the number of the choice comes first


def merged(items: list[Item]) -> list[Item]:
    """Neighbouring deltas of one choice as one, where that does not change the order of anything."""
    if len(items) < 2:
        return items
    result: list[Item] = []
    run: list[Delta] = []
    run_index, run_sort = -1, ""

    def close() -> None:
        if run:
            result.append((run_index, _joined(run)))
            run.clear()

    for index, event in items:
        sort = _sort(event)
        if sort is None:
            close()
            result.append((index, event))
            continue
        if run and (index != run_index or (sort and run_sort and sort != run_sort)):
            close()
        run_sort = sort or run_sort if run else sort
        run_index = index
        run.append(cast(Delta, event))
    close()
    return result


def _sort(event: Delta | Finished) -> str | None:
    """What a delta brings, "" for log-probabilities alone; None for what is never joined with another."""
    if type(event) is not Delta or event.tool_calls or (event.text and event.reasoning):
        return None
    return "text" if event.text else "reasoning" if event.reasoning else ""


def _joined(run: list[Delta]) -> Delta:
    if len(run) == 1:
        return run[0]
    return Delta(
        id=run[-1].id,
        choice=run[-1].choice,
        text="".join(delta.text for delta in run),
        reasoning="".join(delta.reasoning for delta in run),
        logprobs=tuple(logprob for delta in run for logprob in delta.logprobs),
        tokens=run[-1].tokens,
    )


class Answer:
    """One choice in full, for answers that are not streamed; `end` is there once the choice has ended."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self.tool_calls: list[ToolCall] = []
        self.logprobs: list[TokenLogprob] = []
        self.end = Finished(id=0, reason="stop", prompt_tokens=0, completion_tokens=0)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def add(self, event: Delta | Finished) -> None:
        if isinstance(event, Finished):
            self.end = event
            return
        self._text.append(event.text)
        self._reasoning.append(event.reasoning)
        for call in event.tool_calls:
            if call.name or not self.tool_calls:
                self.tool_calls.append(call)
            else:
                before = self.tool_calls[-1]
                self.tool_calls[-1] = ToolCall(
                    name=before.name, arguments=before.arguments + call.arguments, index=before.index
                )
        self.logprobs.extend(event.logprobs)
