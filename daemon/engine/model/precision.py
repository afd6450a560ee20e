"""In which precision a model computes: half precision and packed weights are for devices that are fast with them, and
CPUs are not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

from ..cpu.few_rows import use_tiles
from ..cuda.dequantizing_layers import use_dequantized
from ..device import backend

_HALF = (mx.bfloat16, mx.float16)
_STREAMS = 2
"""On a CPU, for weights: most of the time is the system's, which finds memory for float32, page by page."""
_AHEAD = 4  # arrays that are on their way
_SHARE_OF_MEMORY = 0.5
_ALONG = ("scales", "biases")
_PLAIN: dict[type, type] = {
    nn.QuantizedLinear: nn.Linear,
    nn.QuantizedEmbedding: nn.Embedding,
    QuantizedSwitchLinear: SwitchLinear,
}


def widen(network: Any, memory: int | None) -> str:
    """Turn half precision and packed (quantized) weights of a lazily loaded network into float32 where that is faster
    and they leave room; gives the precision that it computes in then, "" where it is that of the files.

    Every bfloat16 and float16 is exact in float32, and a packed weight is computed from its scale in float32 as well:
    nothing of the model is lost, and sums become more exact. MLX's CPU backend multiplies packed matrices with plain
    loops, for 8 rows and more ten to forty times slower than a BLAS does float32. `memory`: bytes that the model may
    take, None for no limit. Where packed weights have no room unpacked, the others may still have it.
    """
    if backend() != "cpu":
        return ""
    room = None if memory is None else memory * _SHARE_OF_MEMORY
    packed = list(_packed(network))
    unpacked = sum(_weights(layer) * 4 - layer.weight.nbytes - _scales(layer) for _, _, layer in packed)
    arrays = [array for _, array in tree_flatten(network.parameters())]
    half = any(array.dtype in _HALF for array in arrays)
    wide = sum(array.size * 4 if array.dtype in _HALF else array.nbytes for array in arrays)
    unpacks = bool(packed) and (room is None or wide + unpacked <= room)
    if not unpacks and (not half or (room is not None and wide > room)):
        return ""
    streams = cycle(_streams())
    for holder, name, layer in packed if unpacks else ():
        holder[name] = _unpacked(layer, next(streams))
    network.apply(lambda one: one.astype(mx.float32, stream=next(streams)) if one.dtype in _HALF else one)
    return "" if any(True for _ in _packed(network)) else "float32"


def read_weights(network: Any) -> None:
    """Bring the weights of a lazily loaded network into memory, and let its layers multiply with them in the way that
    is fastest on this device. On a CPU they are read a few at a time: of all at once, MLX would hold many in half
    precision beside those in float32, for it allocates for the next ones while these are read."""
    if backend() == "cpu":
        coming: deque[mx.array] = deque()
        for _, array in tree_flatten(network.parameters()):
            mx.async_eval(array)
            coming.append(array)
            if len(coming) >= _AHEAD:
                mx.eval(coming.popleft())
        mx.eval(list(coming))
        use_tiles(network)
        return
    mx.eval(network.parameters())
    if backend() == "cuda":
        use_dequantized(network)


@cache
def _streams() -> list[mx.Stream]:
    """Which the processor's threads for weights belong to."""
    return [mx.new_stream(mx.cpu) for _ in range(_STREAMS)]


def _packed(network: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Each packed layer that has an unpacked counterpart: what holds it, under which name or number, and itself."""
    for _, module in network.named_modules():
        for name, child in module.items():
            within = enumerate(child) if isinstance(child, list) else [(name, child)]
            for place, one in within:
                if type(one) in _PLAIN and "global_scale" not in one:
                    yield (child if isinstance(child, list) else module), place, one


def _weights(layer: Any) -> int:
    """How many weights are packed in it."""
    return int(layer.weight.size) * 32 // int(layer.bits)


def _scales(layer: Any) -> int:
    """What its scales will take in float32, which is no longer needed."""
    return sum(
        array.size * (4 if array.dtype in _HALF else array.itemsize) for name, array in layer.items() if name in _ALONG
    )


def _unpacked(layer: Any, stream: mx.Stream) -> Any:
    """A layer of the plain class with the same weights in float32, which `stream` will compute; evaluates nothing."""
    kind: Any = _PLAIN[type(layer)]
    plain = kind.__new__(kind)
    nn.Module.__init__(plain)
    along = {name: layer[name] for name in _ALONG if name in layer}
    along = {name: array.astype(mx.float32) if array.dtype in _HALF else array for name, array in along.items()}
    plain.weight = mx.dequantize(
        layer.weight,
        along["scales"],
        along.get("biases"),
        group_size=layer.group_size,
        bits=layer.bits,
        mode=layer.mode,
        dtype=mx.float32,
        stream=stream,
    )
    for name, array in layer.items():
        if name not in (*_ALONG, "weight"):
            plain[name] = array
    plain.freeze()
    return plain
