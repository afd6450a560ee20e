"""A worker: a fork of the prompt process that prepares one prompt after the other, within a bound on its memory.

It may be ended at any time, and ends by itself after a prompt that made it grow.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from ...protocol import Count, Counted, Detokenize, Detokenized, Embed, Generate, Rejected, Rerank, Work
from .deadline import DEADLINE_SECONDS, GRAMMAR_SECONDS, MOST_WAITS, seconds_for
from .memory_bound import AddressSpace, allowance, resident
from .prompt_frames import (
    Encoded,
    EncodedRows,
    Note,
    PackedRow,
    PromptAnswer,
    PromptJob,
    Result,
    body,
    pack,
    receive,
    send,
)
from .refused import Refused, bad_grammar
from .render import Prompts

NOTED = 64 << 10
"""Smaller texts are tokenized before anybody could ask what takes so long."""
MOST_KEPT = 64 << 20
MOST_IDS = 16 << 20
"""So many ids are 64 MB in a frame."""
ALARM_SECONDS = 2.0
_jobs = msgspec.msgpack.Decoder(PromptJob)
_works: msgspec.msgpack.Decoder[Work] = msgspec.msgpack.Decoder(Work)


class Preparer(Protocol):
    """Turns one kind of work into tokens. `note` is told the size of every text, in bytes, before it is tokenized, and
    the number of pixels of every picture before it is decoded, with what is kept of those before it."""

    note: Callable[..., None]

    def prepare(self, request: Any) -> Any:
        """Raises Refused."""

    def count(self, request: Count) -> list[list[int]]:
        """The tokens of each prompt. Raises Refused."""

    def detokenize(self, request: Detokenize) -> list[str]:
        """The text of each sequence. Raises Refused."""


class PromptWorker:
    """Answers jobs on a socket until it is closed."""

    def __init__(self, sock: socket.socket, prompts: Preparer) -> None:
        self._socket = sock
        self._prompts = prompts
        self._memory = AddressSpace()
        self._size = 0
        self._kept = 0
        self._pictures = False
        self._grammar = ""
        prompts.note = self._note
        if isinstance(prompts, Prompts):
            prompts.note_grammar = self._note_grammar

    def run(self) -> None:
        began = resident(os.getpid())
        while (frame := receive(self._socket)) is not None:
            self._size, self._kept, self._pictures = len(frame), 0, False
            result, healthy = self._result(frame)
            grown = resident(os.getpid()) - began > MOST_KEPT
            send(self._socket, body(PromptAnswer(result=msgspec.Raw(body(result)), ends=grown or not healthy)))

    def _note(self, size: int, pixels: int = 0, kept: int = 0) -> None:
        if size > NOTED or pixels or kept:
            self._kept = max(self._kept, kept)
            self._pictures = self._pictures or bool(pixels)
            self._end_after(seconds_for(size, pixels))
            self._memory.allow(allowance(self._size, size, pixels, self._kept))
            send(self._socket, body(Note(size=size, pixels=pixels, kept=self._kept)))

    def _note_grammar(self, param: str) -> None:
        self._grammar = param
        self._end_after(GRAMMAR_SECONDS)
        send(self._socket, body(Note(grammar=param)))

    def _end_after(self, seconds: float) -> None:
        """The prompt process ends a late worker; where it is gone, the alarm does."""
        signal.setitimer(signal.ITIMER_REAL, MOST_WAITS * seconds + ALARM_SECONDS if seconds else 0.0)

    def _result(self, frame: bytearray) -> tuple[Result, bool]:
        """The answer, and whether this process can be trusted with another job."""
        self._end_after(DEADLINE_SECONDS)
        self._memory.begin(allowance(self._size))
        job = _jobs.decode(frame)
        self._grammar = ""
        try:
            return self._work(job.id, _works.decode(job.work)), True
        except Refused as refused:
            return refused.rejected(job.id), True
        except MemoryError:
            self._memory.lift()
            if self._grammar:
                return grammar_refused(job, self._grammar, "compiling it takes more memory than a prompt may"), False
            return out_of_memory(job, pictures=self._pictures), False
        except Exception as error:
            message = f"the prompt could not be prepared ({type(error).__name__})"
            return Rejected(id=job.id, code="internal_error", message=message), True
        finally:
            self._memory.lift()
            self._end_after(0.0)

    def _work(self, number: int, work: Work) -> Result:
        match work:
            case Count():
                found = self._prompts.count(work)
                counts = tuple(map(len, found))
                if work.return_tokens and sum(counts) > MOST_IDS:
                    message = f"these are {sum(counts)} tokens, and the ids of at most {MOST_IDS} are returned"
                    return Rejected(id=number, code="invalid_request", message=message, param="return_tokens")
                tokens = tuple(map(pack, found)) if work.return_tokens else ()
                return Counted(id=number, counts=counts, tokens=tokens)
            case Detokenize():
                return Detokenized(id=number, texts=tuple(self._prompts.detokenize(work)))
            case Embed() | Rerank():
                rows = self._prompts.prepare(work)
                return EncodedRows(id=number, rows=tuple(map(_packed, rows)))
            case Generate():
                prepared = self._prompts.prepare(work)
                return Encoded(
                    id=number,
                    tokens=pack(prepared.tokens),
                    room=prepared.room,
                    truncated=prepared.truncated,
                    inside_reasoning=prepared.inside_reasoning,
                    rendered=prepared.rendered if work.echo or work.render_only else "",
                    pictures=prepared.pictures,
                    grammar=prepared.grammar,
                )


def _packed(row: Any) -> PackedRow:
    segments = None if row.segments is None else pack(row.segments)
    return PackedRow(
        tokens=pack(row.tokens), place=row.place, segments=segments, head=row.head, skip=row.skip, cut=row.cut
    )


def grammar_refused(job: PromptJob, param: str, why: str) -> Rejected:
    return bad_grammar(param, f"{why}; make it simpler").rejected(job.id)


def out_of_memory(job: PromptJob, *, pictures: bool = False) -> Rejected:
    if pictures:
        message = "reading the pictures took more memory than a prompt may: send fewer or smaller ones"
        return Rejected(id=job.id, code="invalid_request", message=message, param="messages")
    if job.chat:
        message = "the chat template took more memory on these messages than a prompt may"
        return Rejected(id=job.id, code="template_error", message=message, param="messages")
    message = f"tokenizing the {job.param} took more memory than a prompt may: shorten the input"
    return Rejected(id=job.id, code="invalid_request", message=message, param=job.param)
