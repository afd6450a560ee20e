"""Weights, tokenizer and facts of one model: a folder in, a `LanguageModel` out. Knows no requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_tokenizer

from ...parameters import TABLE
from ...protocol import Load, Loaded, Sampling
from ..cache import attention
from ..cache.capacity import Costs, RowBytes, pass_bytes
from ..cache.rows import can_batch, paddable, row_bytes
from ..cpu.few_rows import use_tiles
from ..device import backend
from ..output.detokenize import Vocabulary
from ..output.formats.family import Family
from ..output.formats.table import capabilities, find_family, markers
from ..prompt.insertion.markers import ends
from ..prompt.prompt_frames import SightData
from .forward import compiled_works, ragged_works
from .joined import join
from .model_folder import UseTokenizer, context_length, read_json, reading
from .network import open_network
from .precision import widen
from .templates import tokenizer_options

PROBE_TOKENS = (2, 32, 256)
PROBE_SECONDS = 0.03
_LARGEST_NUMBER = 1e18  # JSON knows greater ones, infinity among them, and Python reads NaN

OpenNetwork = Callable[[Path, Mapping[str, Any]], tuple[Any, dict[str, Any]]]
"""Gives the network of a folder, its weights not read yet, and its config in every spelling."""


@dataclass
class LanguageModel:
    """`family` is that of its own chat template, `added` are its added tokens. `insertion_ends` end what is inserted
    before a suffix, besides `stop_tokens`; none: it cannot insert. `rows`: logits rows, the limit for token
    ids. `costs`: what a sequence's caches and a forward pass take. `prefill_rate`: about how many prompt tokens a
    second this device takes. `sight` None: it cannot see."""

    network: Any
    tokenizer: Any
    vocabulary: Vocabulary
    rows: int
    context_length: int
    stop_tokens: frozenset[int]
    insertion_ends: frozenset[int]
    defaults: Sampling
    family: Family
    added: frozenset[str]
    weight_bytes: int
    costs: Costs
    batchable: bool
    paddable: bool
    ragged: bool
    capabilities: tuple[str, ...]
    adds_special: bool
    prefill_rate: float
    sight: SightData | None = None


def load(
    request: Load, use_tokenizer: UseTokenizer | None = None, open_folder: OpenNetwork = open_network
) -> tuple[LanguageModel, Loaded]:
    """Bring the model into memory. `use_tokenizer` hears of the tokenizer before the weights are read.

    Raises BadModel, UnsupportedModel, MemoryError.
    """
    began = time.monotonic()
    folder = Path(request.path)
    config = read_json(folder / "config.json")
    network, tokenizer, precision = _network(folder, config, request.memory_limit, use_tokenizer, open_folder)
    model = _describe(folder, config, network, tokenizer, request)
    loaded = Loaded(
        weight_bytes=model.weight_bytes,
        kv_bytes_per_token=model.costs.row.token,
        context_length=model.context_length,
        vocabulary=model.rows,
        batchable=model.batchable,
        capabilities=model.capabilities,
        seconds=time.monotonic() - began,
        precision=precision,
    )
    return model, loaded


def _network(
    folder: Path,
    config: dict[str, Any],
    memory: int | None,
    use_tokenizer: UseTokenizer | None,
    open_folder: OpenNetwork,
) -> tuple[Any, Any, str]:
    with reading(folder, config):
        network, _ = open_folder(folder, config)
        options = tokenizer_options(folder)
        tokenizer = load_tokenizer(folder, options, eos_token_ids=config.get("eos_token_id"))
        if use_tokenizer is not None:
            use_tokenizer(tokenizer._tokenizer, str(folder), options)
        precision = widen(network, memory)
        if backend() != "cpu":  # there a product is cheap to begin, and taking its parts from one another is not
            join(network)
        mx.eval(network.parameters())
        use_tiles(network)
    return network, tokenizer, precision


def _describe(folder: Path, config: dict[str, Any], network: Any, wrapper: Any, request: Load) -> LanguageModel:
    tokenizer = wrapper._tokenizer
    generation = _optional_json(folder / "generation_config.json")
    caches = make_prompt_cache(network)
    template = tokenizer.chat_template
    stop_tokens = _stop_tokens(config, generation, tokenizer)
    added = frozenset(str(entry) for entry in tokenizer.added_tokens_decoder.values())
    insertion_ends = frozenset(tokenizer.convert_tokens_to_ids(sorted(ends(added))))
    family = find_family(template, added)
    vocabulary = Vocabulary(tokenizer, markers(family), stop_tokens)
    own = context_length(config)
    probe = make_prompt_cache(network)
    logits = network(mx.array([[0, 0]]), cache=probe)
    mx.eval(logits)
    batchable = can_batch(caches)
    counts = batchable and attention.pays(probe) and ragged_works(network)
    if batchable:
        compiled_works(network, ragged=counts)
    weight_bytes = sum(array.nbytes for _, array in tree_flatten(network.parameters()))
    return LanguageModel(
        network=network,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        rows=int(logits.shape[-1]),
        context_length=min(own, request.context_length) if request.context_length else own,
        stop_tokens=stop_tokens,
        insertion_ends=insertion_ends,
        defaults=_defaults(generation),
        family=family,
        added=added,
        weight_bytes=weight_bytes,
        costs=Costs(
            row_bytes(probe) if batchable else _unbatched(probe),
            pass_bytes(weight_bytes, ragged=counts and attention.skips_padding()),
        ),
        batchable=batchable,
        paddable=paddable(caches),
        ragged=counts,
        capabilities=("completion", *capabilities(template), *("insert",) * bool(insertion_ends)),
        adds_special=bool(tokenizer("", add_special_tokens=True)["input_ids"]),
        prefill_rate=_prefill_rate(network),
    )


def _prefill_rate(network: Any) -> float:
    """From the second run of a few tokens, for the first one compiles kernels and reads weights from the disk; of more
    tokens as long as that is a matter of a moment, for a GPU takes hundreds in the time of a few."""
    rate = 0.0
    for tokens in PROBE_TOKENS:
        for _ in range(2):
            began = time.monotonic()
            mx.eval(network(mx.zeros((1, tokens), dtype=mx.int32), cache=make_prompt_cache(network)))
            seconds = time.monotonic() - began
        rate = tokens / max(seconds, 1e-6)
        if seconds > PROBE_SECONDS:
            break
    return rate


def _unbatched(caches: list[Any]) -> RowBytes:
    """For caches of unknown classes: the width of every key and value row."""
    arrays: list[Any] = []

    def collect(cache: Any) -> None:
        for inner in getattr(cache, "caches", ()):
            collect(inner)
        for name in ("keys", "values"):
            if isinstance(array := getattr(cache, name, None), mx.array):
                arrays.append(array)

    for cache in caches:
        collect(cache)
    return RowBytes(sum(array.shape[1] * array.shape[3] * array.itemsize for array in arrays))


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _stop_tokens(config: dict[str, Any], generation: dict[str, Any], tokenizer: Any) -> frozenset[int]:
    tokens: set[int] = set()
    text = config.get("text_config") or {}
    for value in (
        generation.get("eos_token_id"),
        config.get("eos_token_id"),
        text.get("eos_token_id"),
        tokenizer.eos_token_id,
    ):
        if isinstance(value, int):
            tokens.add(value)
        elif isinstance(value, list):
            tokens.update(token for token in value if isinstance(token, int))
    return frozenset(tokens)


def _defaults(generation: dict[str, Any]) -> Sampling:
    """What the model's makers recommend; greedy only when they say so."""
    if generation.get("do_sample") is False:
        return Sampling(temperature=0.0)
    values: dict[str, Any] = {}
    for name, parameter in TABLE.items():
        value = generation.get(name) if parameter.recommended else None
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_NUMBER:
            values[name] = int(value) if parameter.integer else float(value)
    return Sampling(**values)
