"""Weights, tokenizer and facts of one model: a folder in, a `LanguageModel` out. Knows no requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from transformers import AutoTokenizer

from ...parameters import TABLE
from ...protocol import Load, Loaded, Sampling
from ..cache.capacity import Costs
from ..cuda.file_threads import FileThreads, file_threads
from ..device import backend
from ..kernels.known_tokenizers import KnownTokenizers
from ..kernels.trial_results import TrialResults
from ..output.detokenize import Vocabulary
from ..output.formats.family import Family
from ..output.formats.table import capabilities, find_family, markers
from ..prompt.insertion.markers import ends
from ..prompt.prompt_frames import SightData, TokenizerData
from ..prompt.text.plain_tokenizer import PlainTokenizer
from .joined import join
from .model_folder import UseTokenizer, context_length, read_json, reading, tokenizer_options
from .network import open_network
from .precision import read_weights, widen
from .trial import Trial, try_out

_LARGEST_NUMBER = 1e18  # JSON knows greater ones, infinity among them, and Python reads NaN

_known: msgspec.json.Decoder[TokenizerData | None] = msgspec.json.Decoder(TokenizerData | None)

OpenNetwork = Callable[[Path, Mapping[str, Any]], tuple[Any, dict[str, Any]]]
"""Gives the network of a folder, its weights not read yet, and its config in every spelling."""


@dataclass
class LanguageModel:
    """`family` is that of its own chat template, `added` are its added tokens. `insertion_ends` end what is inserted
    before a suffix, besides `stop_tokens`; none: it cannot insert. `rows`: logits rows, the limit for token ids.
    `costs`: what a sequence's caches and a forward pass take. `prefill_rate`: about how many prompt tokens a second
    this device takes. `trial`: the key of what was found out about its network, "" where that is not kept.
    `beginnings`: prompts may go on from what their rows have in common where that is. `sight` None: it cannot see."""

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
    trial: str
    beginnings: bool = False
    sight: SightData | None = None


def load(
    request: Load, use_tokenizer: UseTokenizer | None = None, open_folder: OpenNetwork = open_network
) -> tuple[LanguageModel, Loaded]:
    """Bring the model into memory. `use_tokenizer` hears of the tokenizer from a thread, which opens it while the
    weights are read.

    Raises BadModel, UnsupportedModel, MemoryError.
    """
    began = time.monotonic()
    results = None if request.kernels is None else TrialResults(Path(request.kernels).with_name("trials"))
    known = known_tokenizers(request)
    folder = Path(request.path)
    config = read_json(folder / "config.json")
    with ThreadPoolExecutor(1, "tokenizer") as beside:
        with reading(folder, config), _threads() as files:
            network, _ = open_folder(folder, config)
            opening = beside.submit(_open_tokenizer, folder, use_tokenizer, known)
            precision = _bring_in(network, request.memory_limit, files)
        tried = try_out(network, config, context_length(config), results)
        with reading(folder, config):
            tokenizer = opening.result()
    model = _describe(folder, config, network, tokenizer, request, tried)
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


def _threads() -> AbstractContextManager[FileThreads | None]:
    """What reads the files of networks that are opened meanwhile, where MLX's own way leaves most of a device idle."""
    return file_threads() if backend() == "cuda" else nullcontext()


def _bring_in(network: Any, memory: int | None, files: FileThreads | None) -> str:
    """Read the weights of a lazily loaded network; gives the precision that it computes in, as `widen`."""
    precision = widen(network, memory)
    if files is not None:
        files.read()
    if backend() != "cpu":  # there a product is cheap to begin, and taking its parts from one another is not
        join(network)
    read_weights(network)
    return precision


def known_tokenizers(request: Load) -> KnownTokenizers | None:
    """What is known of tokenizers in this home; None where nothing is kept."""
    return None if request.kernels is None else KnownTokenizers(Path(request.kernels).with_name("tokenizers"))


def _open_tokenizer(folder: Path, use_tokenizer: UseTokenizer | None, known: KnownTokenizers | None) -> Any:
    """That of Transformers, without what mlx-lm puts around it: reading it takes twice as long there. Where it is
    known what that comes to, the file's own, which the prompt process may then open at the same time."""
    options = tokenizer_options(folder)
    facts = None if known is None else _facts(known.read(folder))
    if facts is not None:
        plain = PlainTokenizer((folder / "tokenizer.json").read_bytes(), facts)
        if use_tokenizer is not None:
            use_tokenizer(plain, str(folder), options)
        return plain.open()
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    if use_tokenizer is not None:
        use_tokenizer(tokenizer, str(folder), options)
    return tokenizer


def _facts(kept: bytes | None) -> TokenizerData | None:
    """None where nothing was kept, or by a version that knew others."""
    try:
        return None if kept is None else _known.decode(kept)
    except msgspec.DecodeError:
        return None


def _describe(
    folder: Path, config: dict[str, Any], network: Any, tokenizer: Any, request: Load, tried: Trial
) -> LanguageModel:
    generation = _optional_json(folder / "generation_config.json")
    template = tokenizer.chat_template
    stop_tokens = _stop_tokens(config, generation, tokenizer)
    added = frozenset(str(entry) for entry in tokenizer.added_tokens_decoder.values())
    insertion_ends = frozenset(tokenizer.convert_tokens_to_ids(sorted(ends(added))))
    family = find_family(template, added)
    own = context_length(config)
    return LanguageModel(
        network=network,
        tokenizer=tokenizer,
        vocabulary=Vocabulary(tokenizer, markers(family), stop_tokens),
        rows=tried.rows,
        context_length=min(own, request.context_length) if request.context_length else own,
        stop_tokens=stop_tokens,
        insertion_ends=insertion_ends,
        defaults=_defaults(generation),
        family=family,
        added=added,
        weight_bytes=tried.weight_bytes,
        costs=tried.costs,
        batchable=tried.batchable,
        paddable=tried.paddable,
        ragged=tried.ragged,
        capabilities=("completion", *capabilities(template), *("insert",) * bool(insertion_ends)),
        adds_special=bool(tokenizer("", add_special_tokens=True)["input_ids"]),
        prefill_rate=tried.prefill_rate,
        trial=tried.key,
        beginnings=tried.beginnings,
    )


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
