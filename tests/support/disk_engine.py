"""Engines as processes of a daemon have them, one after the other or side by side, with files in a folder."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reference.architectures import VOCABULARY
from support.engine_wire import Wire, ask, generator, run
from support.waiting import GUARD

from mlx_serve.daemon.engine.generate.disk import open_disk
from mlx_serve.daemon.engine.generate.dispatch import Dispatch
from mlx_serve.daemon.engine.generate.engine_limits import Limits
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix.block import Block
from mlx_serve.daemon.prefix_folder import Partial, PrefixFolder
from mlx_serve.daemon.protocol import Hello, PrefixFiles

PLENTY = 1 << 30
_HELLO = Hello(protocol=0, pid=0, backend="cpu", device="this one", device_memory=PLENTY)


REFUSALS = [
    (Partial, "write", errno.ENOSPC),
    (PrefixFolder, "reserve", errno.EROFS),
    (Partial, "publish", errno.EDQUOT),
]
"""Where a disk takes no more, and what the system says then."""


def failing(code: int) -> Callable[..., Any]:
    """In place of a function whose disk does."""

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


def tokens(count: int, seed: int) -> tuple[int, ...]:
    chance = random.Random(seed)
    return tuple(chance.randrange(VOCABULARY) for _ in range(count))


class Process:
    """An engine as one process of a daemon has it, with the files that others of it left in `folder`."""

    def __init__(
        self,
        model: LanguageModel,
        folder: Path | None,
        *,
        digest: str = "model",
        pipelined: bool = False,
        bits: int | None = None,
        tokens_per_step: int = 24,
        budget: int = PLENTY,
        prefixes: int = PLENTY,
        dispatch: Dispatch | None = None,
    ) -> None:
        """With `dispatch`, files are written and read as on CUDA."""
        self.wire = Wire(model)
        files = None if folder is None else PrefixFiles(str(folder), digest, budget, bits)
        disk = None if files is None else open_disk(model, files, _HELLO)
        if disk is not None and dispatch is not None:
            disk = dataclasses.replace(disk, stream=None, in_place=False, staged=True)
        plain = generator(model, self.wire, prefixes=0)
        limits = Limits(max_batch=4, tokens_per_step=tokens_per_step, prefixes=0 if disk is None else prefixes)
        self.engine = Generator(model, limits, plain._prompts, disk, dispatch=dispatch)
        self.engine.pipelining.certain = (1 << 40) if pipelined else 0
        self.number = 0

    def answer(self, *prompts: tuple[int, ...], **options: Any) -> tuple[list[list[int]], list[int]]:
        """To prompts that arrive together, and how many tokens of each were not read."""
        asks = [ask(self.number + 1 + place, prompt, **options) for place, prompt in enumerate(prompts)]
        numbers = range(self.number + 1, self.number + 1 + len(asks))
        self.number += len(asks)
        run((self.engine, self.wire), iter([asks]))
        return [self.wire.tokens(one) for one in numbers], [self.wire.finished(one).cached_tokens for one in numbers]

    @property
    def blocks(self) -> dict[bytes, Block]:
        """What it has in memory, by name."""
        assert self.engine._reuse.kept is not None
        return dict(self.engine._reuse.kept._blocks)

    @property
    def folder(self) -> Path:
        """Where its blocks are."""
        store = self.engine._reuse._files._store
        assert store is not None
        return store.folder

    def end(self) -> None:
        self.engine.close(GUARD)
