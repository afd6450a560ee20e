"""Full weights in, quantized weights out, and never all of either in memory: lazy arrays, a few evaluated at a time.

The operations are mlx-lm's and mlx-vlm's own, in the order of their `convert`, so the results are theirs bit for bit.
"""

from __future__ import annotations

import collections
import itertools
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map
from mlx_lm.utils import get_total_parameters

from ...protocol import Quantize, Quantized
from ..cpu.cores import usable
from ..device import backend
from ..model.model_folder import UnsupportedModel, read_json
from .shards import Place, open_shards, write
from .source import SourceModel, open_source, sizes

WINDOW = 512 << 20
"""Bytes of source weights that are on their way at once; a layer that is larger goes alone."""
MAX_LANES = 8

ReportBytes = Callable[[int, int], None]
Weights = list[tuple[str, mx.array]]


class Lanes:
    """On a CPU one stream is one thread: layers take turns on a few streams, so that several cores work."""

    def __init__(self) -> None:
        self._home = mx.default_stream(mx.default_device())
        more = min(MAX_LANES, usable()) - 1 if backend() == "cpu" else 0
        self._streams = [self._home, *(mx.new_stream(mx.default_device()) for _ in range(more))]
        self._next = itertools.cycle(self._streams)
        self._of: dict[str, mx.Stream] = {}

    def take(self, path: str) -> None:
        """Operations that are made from now on belong to the stream of that layer."""
        if path not in self._of:
            self._of[path] = next(self._next)
        mx.set_default_stream(self._of[path])

    def leave(self) -> None:
        mx.set_default_stream(self._home)


@dataclass
class LayerTensors:
    """One layer's tensors on their way: flat bytes by name, and how much of the source they stand for."""

    data: dict[str, mx.array]
    source_bytes: int


def quantize(order: Quantize, report: ReportBytes) -> Quantized:
    """Fill `order.output`. Raises BadModel, UnsupportedModel, OSError, MemoryError, and what the libraries raise."""
    began = time.monotonic()
    folder, output = Path(order.path), Path(order.output)
    source = open_source(folder, order.kind)
    before = sizes(source.network)
    settings = _quantize(source, order)
    weights: Weights = tree_flatten(source.network.parameters())
    if not any(name not in before for name, _ in weights):
        raise UnsupportedModel(f"none of its layers has rows that are divisible by the group size {order.group_size}")
    _write_config(folder, output, settings, source.keeps_vision)
    weight_bytes = sum(weight.nbytes for _, weight in weights)
    with open_shards(output, weights, get_total_parameters(source.network)) as places:
        # From here on the list alone holds the weights, and gives them away one by one.
        source.network.update(tree_map(lambda _: mx.array([]), source.network.parameters()))
        total, done = source.weight_bytes, 0
        share = total / max(1, sum(before.values()))
        report(0, total)
        for finished in _stream(weights, before, places):
            done += finished
            report(min(total, round(done * share)), total)
    return Quantized(weight_bytes=weight_bytes, peak_memory=_peak_memory(), seconds=time.monotonic() - began)


def _quantize(source: SourceModel, order: Quantize) -> dict[str, Any]:
    lanes = Lanes()
    own = source.predicate or getattr(source.network, "quant_predicate", None)

    def predicate(path: str, module: Any) -> bool | dict[str, Any]:
        lanes.take(path)
        return True if own is None else own(path, module)

    try:
        source.cast(lanes.take)
        source.predicate = predicate
        return source.quantize(order)
    finally:
        lanes.leave()


def _stream(weights: Weights, before: dict[str, int], places: dict[str, Place]) -> Iterator[int]:
    """Evaluate and write everything, `WINDOW` bytes of source ahead; yields bytes of source that are done."""
    waiting: collections.deque[LayerTensors] = collections.deque()
    under_way = 0
    for batch in _batches(weights, before):
        while waiting and under_way + batch.source_bytes > WINDOW:
            under_way -= (done := _write(waiting.popleft(), places))
            yield done
        mx.async_eval(list(batch.data.values()))
        waiting.append(batch)
        under_way += batch.source_bytes
    while waiting:
        yield _write(waiting.popleft(), places)


def _batches(weights: Weights, before: dict[str, int]) -> Iterator[LayerTensors]:
    """Layer by layer: a weight and its scales come out of one operation. Empties `weights`."""
    weights.reverse()
    while weights:
        layer = weights[-1][0].rpartition(".")[0]
        batch = LayerTensors({}, 0)
        while weights and weights[-1][0].rpartition(".")[0] == layer:
            name, weight = weights.pop()
            batch.data[name] = mx.contiguous(weight).reshape(-1).view(mx.uint8)
            batch.source_bytes += before.get(name, 0)
        yield batch


def _write(batch: LayerTensors, places: dict[str, Place]) -> int:
    for name in list(batch.data):
        data: Any = batch.data.pop(name)  # mlx's stubs do not say that it is a buffer
        mx.eval(data)
        write(places[name], memoryview(data))
    return batch.source_bytes


def _write_config(folder: Path, output: Path, settings: dict[str, Any], keeps_vision: bool) -> None:
    """config.json with the settings under both of the names that are in use (mlx-lm, Hugging Face)."""
    config = read_json(folder / "config.json")
    if not keeps_vision:
        config.pop("vision_config", None)  # as mlx-lm: without the tower's weights it only misleads
    config |= {"quantization": settings, "quantization_config": settings}
    (output / "config.json").write_text(json.dumps(config, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(peak if sys.platform == "darwin" else peak * 1024, mx.get_peak_memory())
