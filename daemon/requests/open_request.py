"""One request under way: who asked for what, how far it is, and how it is cancelled. Knows no HTTP and no model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from ..errors import CancelledByClient, CancelledByOperator

RequestState = Literal["queued", "loading", "prefilling", "decoding"]


class OpenRequest:
    """Made in the task that answers the request. `began` is monotonic, `began_at` in Unix seconds; `client` is its
    address, empty on the Unix socket. `asked` is the name that the client gave, `model` the installed model that it
    stands for, None until that is known. Of the times, in monotonic seconds, each is None until it has come."""

    def __init__(self, number: str, endpoint: str, client: str) -> None:
        self.id = number
        self.endpoint = endpoint
        self.client = client
        self.began = time.monotonic()
        self.began_at = time.time()
        self.asked = ""
        self.model: str | None = None
        self.state: RequestState = "queued"
        self.prompt_tokens = 0
        self.submitted: float | None = None
        self.started: float | None = None
        self.first_token: float | None = None
        self._counts: list[dict[int, int]] = []
        self._read: dict[int, int] = {}
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancels_before = task.cancelling()
        self._cancelled = self._by_client = self._told = False

    # how far it is

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def generated_tokens(self) -> int:
        """Of all choices together, so far."""
        return sum(sum(counts.values()) for counts in self._counts)

    @property
    def read_tokens(self) -> int:
        """Of all its prompts together, as far as that is known: a short one is read before anything is told of it."""
        return self.prompt_tokens if self.first_token is not None else min(sum(self._read.values()), self.prompt_tokens)

    @property
    def queue_seconds(self) -> float | None:
        """From the moment its model was there until its prompt was begun."""
        return None if self.submitted is None or self.started is None else self.started - self.submitted

    def found(self, model: str) -> None:
        """Its model is installed under this name, and perhaps not in memory."""
        self.model, self.state = model, "loading"

    def submit(self) -> None:
        """Its model is in memory, and has its work now."""
        self.state, self.submitted = "queued", self.submitted or time.monotonic()

    def start(self) -> bool:
        """The model reads its prompt. Whether that is news: a request may have several prompts."""
        if self.started is not None:
            return False
        self.started = time.monotonic()
        if self.state == "queued":
            self.state = "prefilling"
        return True

    def read(self, prompt: int, tokens: int) -> None:
        """So many tokens of this prompt, by its number, are read by now."""
        self._read[prompt] = tokens

    def counts(self) -> dict[int, int]:
        """How many tokens of each of some further choices have come, for whoever receives them to note."""
        self._counts.append({})
        return self._counts[-1]

    def generate(self) -> bool:
        """Something of an answer has come. Whether it is the first of all."""
        if self.first_token is not None:
            return False
        self.start()
        self.state, self.first_token = "decoding", time.monotonic()
        return True

    def noted(self) -> dict[str, object]:
        """What a line of the log says of it, beside its outcome: nothing that was said in it."""
        fields: dict[str, object] = {"client": self.client or "socket"}
        if self.model is not None:
            fields |= {"model": self.model, "prompt_tokens": self.prompt_tokens, "tokens": self.generated_tokens}
        if self.queue_seconds is not None:
            fields["queue_seconds"] = round(self.queue_seconds, 4)
        if self.first_token is not None:
            fields["first_token_seconds"] = round(self.first_token - self.began, 4)
        if self._cancelled:
            fields["cancelled"] = "client" if self._by_client else "operator"
        return fields

    # its end

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self, *, by_client: bool = False) -> None:
        """End it, wherever it is; its client is told who did it."""
        if not self._cancelled:
            self._cancelled, self._by_client = True, by_client
            self._task.cancel()

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """Within, `cancel` raises RequestCancelled, once. A client that has hung up or a daemon that stops still
        raises CancelledError."""
        try:
            yield
        except asyncio.CancelledError:
            if not self._cancelled or self._told or not self._only_cancel():
                raise
            kind: type[CancelledByClient | CancelledByOperator] = (
                CancelledByClient if self._by_client else CancelledByOperator
            )
            raise kind from None

    def close(self) -> None:
        """It is answered. A cancel that came too late is no cancel of what the task does next."""
        if self._cancelled and not self._told:
            self._only_cancel()

    def _only_cancel(self) -> bool:
        """Take the cancel back. Whether there is no other one."""
        self._told = True
        return self._task.uncancel() <= self._cancels_before
