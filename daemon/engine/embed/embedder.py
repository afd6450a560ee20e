"""An embedding model in memory, and what the worker of rows asks of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec

from ...protocol import Count, Embed, Embedded, Load, Loaded, TextPrompt
from ..encode.facts import Facts, measured
from ..encode.open import Encoder, decoder_states, is_encoder, open_decoder, open_encoder
from ..encode.padding import pad
from ..encode.row_job import Job, Row
from ..encode.tokens import TextTokenizer, Tokens, length_limit, load_tokenizer
from ..model.load import read_json, reading
from ..model.precision import widen
from ..prompt.render import Refused
from .pooling import Dense, dense_layers, normalized, pool
from .recipe import Recipe, read_recipe

PART_TEXTS = 256
PART_CHARACTERS = 256 << 10


class Embedder:
    """`width` numbers a vector."""

    def __init__(
        self, encoder: Encoder, dense: list[Dense], recipe: Recipe, texts: TextTokenizer, facts: Facts, end: int | None
    ) -> None:
        self._encoder = encoder
        self._dense = dense
        self._recipe = recipe
        self._texts = texts
        self._end = end
        self.weight_bytes = facts.weight_bytes + sum(layer.nbytes for layer in dense)
        self.token_bytes, self.pair_bytes = facts.token_bytes, facts.pair_bytes
        self.vocabulary = facts.vocabulary
        self.longest = texts.longest
        self.rate = measured(lambda tokens: self._vectors([Row([0] * tokens, 0)]))
        self.width = int(self._vectors([Row([0, 0], 0)]).shape[1])

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

    def prepare(self, work: Embed) -> list[Row]:
        """Raises Refused."""
        self._check_dimensions(work.dimensions)
        if work.ids:
            return [self._given(ids, work.first + place, work) for place, ids in enumerate(work.ids)]
        try:
            prompt = self._recipe.prompt(work.prompt_name, work.input_type)
        except KeyError as error:
            param = "prompt_name" if work.prompt_name is not None else "input_type"
            raise Refused("invalid_request", str(error.args[0]), param) from None
        texts = [prompt + text for text in work.texts]
        skip = 0 if self._recipe.with_prompt or not prompt else self._prompt_length(prompt)
        large = [self._texts.too_large(text) for text in texts]
        short = iter(self._texts.encode([text for text, much in zip(texts, large, strict=True) if not much]))
        rows = []
        for place, (text, much) in enumerate(zip(texts, large, strict=True)):
            tokens = None if much else next(short)
            rows.append(self._row(text, tokens, work.first + place, work.truncate, skip))
        return rows

    def count(self, request: Count) -> list[int]:
        """Raises Refused."""
        if not isinstance(request.prompt, TextPrompt):
            raise Refused("unsupported", "this model has no chat template", "messages")
        (found,) = self._texts.encode([request.prompt.text], special=request.prompt.add_special_tokens)
        return found.ids

    def _row(self, text: str, tokens: Tokens | None, place: int, truncate: bool, skip: int) -> Row:
        longest = self._texts.longest
        spare = 0 if self._end is None else 1
        if tokens is None or len(tokens.ids) + spare > longest:
            if not truncate:
                raise self._too_long(place, None if tokens is None else len(tokens.ids) + spare)
            tokens = self._texts.cut(text, max(1, longest - spare))
        ids = tokens.ids if self._end is None or tokens.ids[-1:] == [self._end] else [*tokens.ids, self._end]
        if not ids:
            message = f"input {place} is empty, and this model has no token to begin with"
            raise Refused("invalid_request", message, "input")
        return Row(ids, place, skip=min(skip, len(ids) - 1), cut=tokens.cut)

    def _given(self, ids: tuple[int, ...], place: int, work: Embed) -> Row:
        """Token ids are taken as they are: whoever has them has the special ones too."""
        if work.prompt_name is not None or work.input_type is not None:
            param = "prompt_name" if work.prompt_name is not None else "input_type"
            raise Refused("invalid_request", f"{param} needs input that is text, not token ids", param)
        for token in ids:
            if not 0 <= token < self.vocabulary:
                message = f"token id {token} is outside this model's vocabulary (0 to {self.vocabulary - 1})"
                raise Refused("invalid_request", message, "input")
        if not ids:
            raise Refused("invalid_request", f"input {place} has no tokens", "input")
        if len(ids) > self._texts.longest and not work.truncate:
            raise self._too_long(place, len(ids))
        return Row(list(ids[: self._texts.longest]), place, cut=len(ids) > self._texts.longest)

    def _too_long(self, place: int, tokens: int | None) -> Refused:
        size = "" if tokens is None else f" ({tokens} tokens)"
        return Refused(
            "context_length_exceeded",
            f"input {place}{size} is longer than the model's maximum of {self._texts.longest} tokens: "
            "shorten it, or send truncate: true to have it cut",
            "input",
        )

    def _prompt_length(self, prompt: str) -> int:
        """Tokens of the prompt with the special ones before it."""
        ids = self._texts.encode([prompt])[0].ids
        return len(ids) - (ids[-1:] != [] and ids[-1] in self._texts.tokenizer.all_special_ids)

    def _check_dimensions(self, dimensions: int | None) -> None:
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
        """Texts share nothing."""
        return [], 0

    def compute(self, rows: list[Row]) -> mx.array:
        """(rows, width), float32, as they are before the normalising step."""
        return self._vectors(rows)

    def _vectors(self, rows: list[Row]) -> mx.array:
        padded = pad([row.tokens for row in rows])
        vectors = pool(self._recipe.pooling, self._encoder.states(padded), padded, [row.skip for row in rows])
        for layer in self._dense:
            vectors = layer(vectors)
        return vectors

    def event(self, job: Job) -> Embedded:
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


def load_embedder(request: Load) -> tuple[Embedder, Loaded]:
    """Bring the model into memory. Raises BadModel, UnsupportedModel, MemoryError."""
    began = time.monotonic()
    folder = Path(request.path)
    config = read_json(folder / "config.json")
    with reading(folder, config):
        decoder = not is_encoder(config)
        recipe = read_recipe(folder, config, request.name, decoder=decoder)
        network = open_decoder(folder, config) if decoder else open_encoder(folder, config)
        if decoder and "lm_head" in network:
            network.pop("lm_head")  # never read: vectors come from the states before it
        widen(network, request.memory_limit)
        mx.eval(network.parameters())
        encoder: Encoder = decoder_states(network, config) if decoder else network
        tokenizer = load_tokenizer(folder)
        longest = length_limit(config, tokenizer, recipe.max_length, request.context_length)
        texts = TextTokenizer(tokenizer, longest, lower_case=recipe.lower_case)
        end = _end_token(tokenizer, config, recipe, texts)
        dense = dense_layers(recipe.projections)
        embedder = Embedder(encoder, dense, recipe, texts, Facts.of(network, config), end)
    return embedder, Loaded(
        weight_bytes=embedder.weight_bytes,
        kv_bytes_per_token=0,
        context_length=longest,
        vocabulary=embedder.vocabulary,
        batchable=True,
        capabilities=("embedding",),
        seconds=time.monotonic() - began,
    )


def _end_token(tokenizer: Any, config: dict[str, Any], recipe: Recipe, texts: TextTokenizer) -> int | None:
    """Qwen3-Embedding is read off `<|endoftext|>`, which the tokenizers of its first revisions do not add."""
    if config.get("model_type") != "qwen3" or "lasttoken" not in recipe.pooling or texts.encode([""])[0].ids:
        return None
    found = tokenizer.get_vocab().get("<|endoftext|>")
    return found if isinstance(found, int) else None


def _part(work: Embed, start: int, end: int) -> Embed:
    return msgspec.structs.replace(work, texts=work.texts[start:end], ids=work.ids[start:end], first=work.first + start)
