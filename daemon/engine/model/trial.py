"""What a network can do and what it costs, found by running it when its weights are in memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache

from ..cache import attention
from ..cache.capacity import Costs, pass_bytes
from ..cache.common_beginning import Beginnings, CommonBeginning, repeated
from ..cache.row_growth import row_growth
from ..cache.rows import can_batch, paddable, row_bytes
from ..cuda.kernels import Kernels
from ..cuda.nvrtc import CompilerError
from ..device import backend
from ..kernels.trial_results import TrialResults, key
from . import compiled_layers
from .blueprint import Uncompilable
from .forward import BatchedForward
from .inputs import Inputs

TOKENS = {"cpu": (32, 256), "cuda": (2, 256), "metal": (2, 32, 256)}
"""Of a run that is timed. A GPU takes hundreds in the time of a few. A processor takes some dozens in about the time of
two, and of two it would seem ten times slower than it is. On NVIDIA GPUs MLX compiles its quantized product for 17 to
32 rows, for 33 and more, and for fewer: 17 to 27 s each, and the first of these would be for this run alone."""
SECONDS = 0.03
"""A run that takes longer is the last: it says enough."""

CLOSE = 0.05
"""How far logits may be apart, as a part of the greatest of them: what half precision makes of another order."""

COUNTS, PAGES, BEGINNINGS, COMPILED = "counts", "pages", "beginnings", "compiled"
KERNELS, RATE = "products", "rate="
"""What is found: rows of different lengths work by their counts, and with pages of their own, prompts go on from what
their rows have in common where that is, compiled layers give the same, our own kernels do, the pace of prompts."""
BEGUN = 64
"""Tokens of a beginning that is tried."""


@dataclass(frozen=True)
class Trial:
    """As in `LanguageModel`."""

    rows: int
    weight_bytes: int
    costs: Costs
    batchable: bool
    paddable: bool
    ragged: bool
    beginnings: bool
    prefill_rate: float
    key: str


def try_out(network: Any, config: Mapping[str, Any], longest: int, results: TrialResults | None = None) -> Trial:
    """Each run serves several ends: the first one shows the caches and the logits, and begins the timing. Decode steps
    are compiled, in place, where that works. What `results` know is not tried again: where they know all, nothing is
    computed. `config`: that of its folder. `longest`: tokens that it may be run on."""
    name = "" if results is None else key(_facts(network, config))
    known = frozenset[str]() if results is None else results.read(name)
    rate = next((float(word.removeprefix(RATE)) for word in known if word.startswith(RATE)), None)
    if rate is None:
        caches, logits, rate = _run(network, longest)
    else:
        caches, logits = _built(network)
    batchable = can_batch(caches)
    works = _decode_steps(network, known, counts=attention.pays(caches)) if batchable else frozenset[str]()
    if COUNTS in works and attention.pageable(caches) and (PAGES in known or ragged_works(network, paged=True)):
        works |= {PAGES}
    if PAGES in works and attention.reads_beginnings(BEGUN) and (BEGINNINGS in known or beginnings_work(network)):
        works |= {BEGINNINGS}
    found = works | {f"{RATE}{rate:.4g}"}
    if results is not None and not found <= known:
        results.keep(name, found)
    counts = COUNTS in works
    weight_bytes = sum(array.nbytes for _, array in tree_flatten(network.parameters()))
    return Trial(
        rows=int(logits.shape[-1]),
        weight_bytes=weight_bytes,
        costs=Costs(
            row_bytes(caches) if batchable else row_growth(partial(_held, network)),
            pass_bytes(weight_bytes, ragged=counts and attention.skips_padding()),
            paged=PAGES in works,
        ),
        batchable=batchable,
        paddable=paddable(make_prompt_cache(network)),
        ragged=counts,
        beginnings=BEGINNINGS in works,
        prefill_rate=rate,
        key=name,
    )


def _built(network: Any) -> tuple[list[Any], mx.array]:
    """The caches and the logits of a run that nobody evaluates: their shapes."""
    caches = make_prompt_cache(network)
    return caches, network(mx.zeros((1, 2), dtype=mx.int32), cache=caches)


def _held(network: Any, tokens: int) -> list[Any]:
    """The caches after so many tokens and one more, which nobody evaluates."""
    caches: list[Any] = make_prompt_cache(network)
    for count in (tokens, 1):
        network(mx.zeros((1, count), dtype=mx.int32), cache=caches)
    return caches


def _run(network: Any, longest: int) -> tuple[list[Any], mx.array, float]:
    """The caches and the logits of one run, and about how many prompt tokens a second this device takes. On a GPU of
    the second run of as many tokens, for the first one compiles kernels."""
    on_cpu = backend() == "cpu"
    sizes = [min(tokens, longest) for tokens in TOKENS[backend()]]
    for tokens in sizes:
        for _ in range(1 if on_cpu else 2):
            began = time.monotonic()
            caches = make_prompt_cache(network)
            logits = network(mx.zeros((1, tokens), dtype=mx.int32), cache=caches)
            mx.eval(logits)
            seconds = time.monotonic() - began
        if seconds > SECONDS:
            break
    return caches, logits, tokens / max(seconds, 1e-6)


def _decode_steps(network: Any, known: frozenset[str], *, counts: bool) -> frozenset[str]:
    """Compile what decode steps do, where that works; gives what works. `counts`: whether they would pay. What did not
    work is not known the next time: it may have failed for a reason that goes away."""
    counts = counts and (COUNTS in known or ragged_works(network))
    kernels = Kernels.found() if backend() == "cuda" else None
    own = kernels is not None and _use(kernels, network, known, counts=counts)
    if COMPILED in known and counts == (COUNTS in known):
        if "MLX_DISABLE_COMPILE" not in os.environ:
            _compile(network, counts=counts)
        compiled = True
    else:
        compiled = compiled_works(network, ragged=counts)
    return frozenset([COUNTS] * counts + [KERNELS] * own + [COMPILED] * compiled)


def _use(kernels: Kernels, network: Any, known: frozenset[str], *, counts: bool) -> bool:
    """Let a network use these where that works; gives whether it does."""
    if KERNELS in known and counts == (COUNTS in known):
        kernels.install(network)
    elif not kernels_work(network, kernels, ragged=counts):
        return False
    kernels.prepare(network)
    return True


def _compile(network: Any, *, counts: bool) -> None:
    """What `compiled_works` leaves, without a number computed: one step's graph is built, which nobody evaluates."""
    compiled_layers.compile_layers(network)
    caches = make_prompt_cache(network)
    network(mx.zeros((1, 1), dtype=mx.int32), cache=caches)
    forward = BatchedForward(network, 0, ragged=counts)
    forward.join(caches, [(0, 1)])
    forward(Inputs(mx.zeros((1, 1), dtype=mx.int32)))


def _facts(network: Any, config: Mapping[str, Any]) -> list[str]:
    """What decode steps depend on: what is configured, the code and the arrays of every module, and the device."""
    modules = (
        f"{name} {type(module).__module__}.{type(module).__qualname__}" for name, module in network.named_modules()
    )
    arrays = (f"{name} {array.shape} {array.dtype}" for name, array in tree_flatten(network.parameters()))
    device = str(mx.device_info().get("device_name"))
    return [json.dumps(config, sort_keys=True), backend(), device, "\n".join(modules), "\n".join(arrays)]


# what decode steps work with


def ragged_works(network: Any, *, paged: bool = False) -> bool:
    """Whether this architecture hands masks through to attention untouched, so that `Ragged` may stand in for them, be
    it with pages."""
    return _close(_trial(network, ragged=False), _trial(network, ragged=True, paged=paged))


def beginnings_work(network: Any) -> bool:
    """Whether this architecture hands its keys and `Beginnings` to attention as its caches give them, so that rows of a
    prompt may have what they begin with in common."""
    begun: list[Any] = make_prompt_cache(network)
    network(mx.zeros((1, BEGUN), dtype=mx.int32), cache=begun)
    first = [(cache.keys[:, :, :BEGUN], cache.values[:, :, :BEGUN]) for cache in begun]
    copies: list[Any] = make_prompt_cache(network)
    for cache, (keys, values) in zip(copies, first, strict=True):
        cache.keys, cache.values, cache.offset = repeated(keys, 2), repeated(values, 2), BEGUN
    beginnings = Beginnings()
    return _close(_goes_on(network, copies), _goes_on(network, [CommonBeginning(one, beginnings) for one in first]))


def _goes_on(network: Any, caches: list[Any]) -> mx.array | None:
    """The logits of two rows that go on with three tokens; None where the network cannot do that."""
    try:
        logits: mx.array = network(mx.array([[1, 2, 0], [2, 0, 1]]), cache=caches).astype(mx.float32)
        mx.eval(logits)
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError):
        return None
    return logits


def kernels_work(network: Any, kernels: Kernels, *, ragged: bool) -> bool:
    """Let a network use these, in place, where that gives the same; else it stays as it is. Its weights are in
    memory."""
    plain = _trial(network, ragged=ragged)
    if plain is None:
        return False
    kernels.install(network)
    works = _close(plain, _trial(network, ragged=ragged))
    if not works:
        kernels.remove(network)
    return works


def compiled_works(network: Any, *, ragged: bool) -> bool:
    """Compile what decode steps do in layers, in place, where that gives the same; the weights are in memory. Where it
    does not, or MLX is told to compile nothing, the network stays as it is."""
    if "MLX_DISABLE_COMPILE" in os.environ:
        return False
    plain = _trial(network, ragged=ragged)
    if plain is None or not compiled_layers.compile_layers(network):
        return False
    works = _close(plain, _trial(network, ragged=ragged))
    if not works:
        compiled_layers.undo(network)
    return works


def _trial(network: Any, *, ragged: bool, paged: bool = False) -> mx.array | None:
    """The logits of a step of two rows, and of one of one; None where the network cannot do that."""
    forward = BatchedForward(network, 0, ragged=ragged, paged=paged)
    try:
        for length in (1, 3):
            caches = make_prompt_cache(network)
            network(mx.zeros((1, length), dtype=mx.int32), cache=caches)
            forward.join(caches, [(0, length)])
        both = forward(Inputs(mx.zeros((2, 1), dtype=mx.int32)))
        forward.leave([0])
        logits = mx.concatenate([both, forward(Inputs(mx.zeros((1, 1), dtype=mx.int32)))]).astype(mx.float32)
        mx.eval(logits)
    except (TypeError, ValueError, AttributeError, RuntimeError, Uncompilable, CompilerError):
        return None
    return logits


def _close(one: mx.array | None, other: mx.array | None) -> bool:
    return one is not None and other is not None and bool(mx.abs(one - other).max() <= CLOSE * mx.abs(one).max())
