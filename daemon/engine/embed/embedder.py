"""An embedding model in memory, and what the worker of rows asks of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec

from ...protocol import Embed, Embedded, Load, Loaded
from ..device import backend
from ..encode.decoder import CausalStates
from ..encode.encoders import is_encoder
from ..encode.facts import Facts, measured
from ..encode.open import Encoder, decoder_states, open_decoder, open_encoder
from ..encode.padding import pad
from ..encode.row_job import RowJob
from ..encode.tokenizer import load_tokenizer
from ..model.model_folder import UseTokenizer, read_json, reading
from ..model.precision import read_weights, widen
from ..prompt.prompt_frames import EmbedData
from ..prompt.refused import Refused
from ..shapes import Shapes
from ..texts.row import Row
from .data import embed_data
from .pooling import Dense, dense_layers, normalized, pool
from .recipe import Recipe, read_recipe

PART_TEXTS = 256
PART_CHARACTERS = 256 << 10
LEAST_PIECE = 32


class Embedder:
    """`width` numbers a vector; `texts` is what the prompt process needs to know."""

    def __init__(self, encoder: Encoder, dense: list[Dense], recipe: Recipe, facts: Facts, texts: EmbedData) -> None:
        self._encoder = encoder
        self._dense = dense
        self._recipe = recipe
        pieces = isinstance(encoder, CausalStates) and recipe.pooling == ("lasttoken",) and encoder.resumes
        self._in_pieces = encoder if isinstance(encoder, CausalStates) and pieces else None
        self.texts = texts
        self.weight_bytes = facts.weight_bytes + sum(layer.nbytes for layer in dense)
        self.token_bytes, self.pair_bytes = facts.token_bytes, facts.pair_bytes
        self.shapes = Shapes(few=backend() == "cuda", longest=texts.longest)
        self.rate = measured(lambda tokens: self.compute([Row([0] * tokens, 0)]))
        self.width = int(self.compute([Row([0, 0], 0)]).shape[1])

    # texts to rows

    def parts(self, work: Embed) -> Iterator[Embed]:
        """A few hundred texts at a time, or a quarter of a megabyte, whatever is less."""
        inputs = work.texts or work.ids
        start = size = 0
        for place, one in enumerate(inputs):
            if place > start and (place - start == PART_TEXTS or size + len(one) > PART_CHARACTERS):
                yield _part(work, start, place)
                start, size = place, 0
            size += len(one)
        yield _part(work, start, len(inputs))

    def count_rows(self, work: Any) -> int:
        return len(work.texts) + len(work.ids) if isinstance(work, Embed) else 0

    def check(self, work: Embed) -> None:
        """Raises Refused."""
        dimensions = work.dimensions
        if dimensions is None or dimensions == self.width:
            return
        if not 1 <= dimensions <= self.width:
            message = f"dimensions must be between 1 and {self.width}, the length of this model's vectors"
            raise Refused("invalid_request", message, "dimensions")
        if not self._recipe.shortens:
            message = (
                f"this model's vectors of {self.width} numbers cannot be shortened: it was not trained for it "
                "(Matryoshka), or does not say so; leave dimensions out"
            )
            raise Refused("unsupported", message, "dimensions")

    # rows to vectors

    def head(self, rows: list[Row], budget: int) -> tuple[list[Any], int]:
        """A text that is longer than a step may be is computed in pieces, where its last token's state is all."""
        if self._in_pieces is None or len(rows) > 1:
            return [], 0
        return self._in_pieces.begin(rows[0], max(budget, LEAST_PIECE))

    def compute(self, rows: list[Row]) -> mx.array:
        """(rows, width), float32, as they are before the normalising step."""
        if self._in_pieces is not None and len(rows) == 1 and rows[0].caches is not None:
            vectors = self._in_pieces.last_state(rows[0]).astype(mx.float32)
        else:
            given = self.shapes.filled(rows)
            padded = pad([row.tokens for row in given], shapes=self.shapes)
            states = self._encoder.states(padded)
            vectors = pool(self._recipe.pooling, states, padded, [row.skip for row in given])[: len(rows)]
        for layer in self._dense:
            vectors = layer(vectors)
        return vectors

    def event(self, job: RowJob) -> Embedded:
        assert job.results is not None and job.begun is not None
        vectors, wanted = job.results, job.work
        if wanted.dimensions is not None:
            vectors = vectors[:, : wanted.dimensions]
        normalize = self._recipe.normalize if wanted.normalize is None else wanted.normalize
        if normalize or vectors.shape[1] < self.width:
            vectors = normalized(vectors)
        now = time.monotonic()
        return Embedded(
            id=job.number,
            vectors=vectors.astype("<f4").tobytes(),
            dimensions=vectors.shape[1],
            prompt_tokens=job.tokens,
            truncated=tuple(sorted(job.cut)),
            queue_seconds=job.begun - job.arrived,
            compute_seconds=now - job.begun,
        )


def load_embedder(request: Load, use_tokenizer: UseTokenizer | None = None) -> tuple[Embedder, Loaded]:
    """Bring the model into memory, as `model.load` does. Raises BadModel, UnsupportedModel, MemoryError."""
    began = time.monotonic()
    folder = Path(request.path)
    config = read_json(folder / "config.json")
    with reading(folder, config):
        decoder = not is_encoder(config)
        recipe = read_recipe(folder, config, request.name, decoder=decoder)
        tokenizer = load_tokenizer(folder, use_tokenizer, lower_case=recipe.lower_case)
        network = open_decoder(folder, config) if decoder else open_encoder(folder, config)
        if decoder and "lm_head" in network:
            network.pop("lm_head")  # never read: vectors come from the states before it
        precision = widen(network, request.memory_limit)
        read_weights(network)
        encoder: Encoder = decoder_states(network, config) if decoder else network
        facts = Facts.of(network, config)
        texts = embed_data(config, recipe, tokenizer, request.context_length)
        embedder = Embedder(encoder, dense_layers(recipe.projections), recipe, facts, texts)
    return embedder, Loaded(
        weight_bytes=embedder.weight_bytes,
        kv_bytes_per_token=0,
        context_length=texts.longest,
        vocabulary=texts.rows,
        batchable=True,
        capabilities=("embedding",),
        seconds=time.monotonic() - began,
        precision=precision,
    )


def _part(work: Embed, start: int, end: int) -> Embed:
    return msgspec.structs.replace(work, texts=work.texts[start:end], ids=work.ids[start:end], first=work.first + start)
