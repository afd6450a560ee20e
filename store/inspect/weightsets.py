"""Which of several weight files are the model's: those of the index, else by their names. Knows names only."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection
from typing import Any

from ..errors import SourceError
from .weights import shards

INDEX = "model.safetensors.index.json"
WEIGHTS = ".safetensors"

_SINGLE = "model.safetensors"
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")


def chosen(names: Collection[str], index: Any | None, *, where: str, hint: str) -> set[str]:
    """The files of the one set to load, with `INDEX` among them where it describes that set.

    `names`: the weight files beside config.json; `index`: the content of `INDEX`. Raises SourceError with `where` and
    `hint` for a missing file that the index or the name of a shard refers to.
    """
    if index is None:
        return _unindexed(names, where, hint)
    needed = set(shards(index, INDEX).values())
    missing = sorted(needed - set(names))
    if not missing:
        return needed | {INDEX}
    if len(missing) == len(needed) and any(name == _SINGLE or _SHARD.fullmatch(name) for name in names):
        # Some converters copied the index of the original model, which describes other files.
        return _unindexed(names, where, hint)
    raise _missing(f"{INDEX} names", missing, where, hint)


def _unindexed(names: Collection[str], where: str, hint: str) -> set[str]:
    if _SINGLE in names:
        return {_SINGLE}
    sets: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name in names:
        if (match := _SHARD.fullmatch(name)) is not None:
            sets[match["stem"], match["count"]].add(name)
    # `model-…` before `model.fp16-…`, and before any other stem.
    for stem, count in sorted(sets, key=lambda key: (key[0] != "model", not key[0].startswith("model"), key)):
        whole = {f"{stem}-{number:05}-of-{count}{WEIGHTS}" for number in range(1, int(count) + 1)}
        if missing := sorted(whole - sets[stem, count]):
            raise _missing(f"{min(sets[stem, count])} belongs with", missing, where, hint)
        return whole
    return {name for name in names if name.startswith("model")} or set(names)


def _missing(said: str, missing: list[str], where: str, hint: str) -> SourceError:
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return SourceError(f"{said} {json.dumps(missing[0])[:120]}{more}, which is not in {where}", hint=hint)
