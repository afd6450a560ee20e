"""Texts and pairs of texts to token ids, many at a time, and the cutting of those that are too long.

For one thread alone: how a tokenizer cuts is a state of the tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoTokenizer

CHARACTERS_PER_TOKEN = 64
_SPARE_CHARACTERS = 4096

Input = str | tuple[str, str]


@dataclass(frozen=True)
class Tokens:
    """`segments`: 1 for the second of a pair, else 0. `cut`: there was more."""

    ids: list[int]
    segments: list[int]
    cut: bool = False


def load_tokenizer(folder: Any) -> Any:
    """Transformers' tokenizer of a folder. Raises ValueError, OSError and whatever its files make it raise."""
    return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)


class TextTokenizer:
    """`longest`: tokens of one input, special ones included. `has_segments`: whether the network is told which text of
    a pair a token belongs to, as the tokenizer says."""

    def __init__(self, tokenizer: Any, longest: int, *, lower_case: bool = False) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ValueError("Model type with a tokenizer that has no tokenizer.json is not supported")
        self.tokenizer = tokenizer
        self.longest = longest
        self.has_segments = "token_type_ids" in tokenizer.model_input_names
        self._backend = backend
        self._side = getattr(tokenizer, "truncation_side", "right")
        backend.no_padding()
        backend.no_truncation()
        if lower_case:
            _lower(backend)

    def encode(self, inputs: Sequence[Input], *, special: bool = True) -> list[Tokens]:
        """Whole, however long they are."""
        found = self._backend.encode_batch_fast(list(inputs), add_special_tokens=special)
        return [Tokens(one.ids, one.type_ids) for one in found]

    def encode_inert(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts that go into a template: what spells one of its control tokens stays text."""
        self._backend.encode_special_tokens = True
        try:
            return [one.ids for one in self.encode(texts, special=False)]
        finally:
            self._backend.encode_special_tokens = False

    def cut(self, one: Input, longest: int, *, special: bool = True) -> Tokens:
        """The beginning that fits, special tokens included; of a pair the longer text is cut first."""
        self._backend.enable_truncation(longest, strategy="longest_first", direction=self._side)
        try:
            (found,) = self._backend.encode_batch([one], add_special_tokens=special)
        finally:
            self._backend.no_truncation()
        return Tokens(found.ids, found.type_ids, cut=bool(found.overflowing))

    def too_large(self, one: Input) -> bool:
        """Whether it cannot fit, as seen without tokenizing megabytes."""
        return sum(map(len, (one,) if isinstance(one, str) else one)) > self.most_characters

    @property
    def most_characters(self) -> int:
        return CHARACTERS_PER_TOKEN * self.longest + _SPARE_CHARACTERS


def length_limit(config: Mapping[str, Any], tokenizer: Any, stated: int | None, wanted: int | None) -> int:
    """Tokens of the longest input: what Sentence Transformers was told, else what tokenizer and config say; never past
    the positions that there are. `wanted`: the setting, where it is lower."""
    positions = config.get("max_position_embeddings")
    limits = [positions] if isinstance(positions, int) and positions > 0 else []
    if config.get("model_type") in ("roberta", "xlm-roberta", "xlm_roberta", "camembert") and limits:
        limits = [limits[0] - int(config.get("pad_token_id", 1)) - 1]
    if stated is not None:
        limits.append(stated)
    elif 0 < tokenizer.model_max_length < 1 << 30:
        limits.append(int(tokenizer.model_max_length))
    if wanted is not None:
        limits.append(wanted)
    return max(1, min(limits, default=512))


def _lower(backend: Any) -> None:
    """As Sentence Transformers does for `do_lower_case`."""
    from tokenizers.normalizers import Lowercase
    from tokenizers.normalizers import Sequence as Several

    before = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = Several([Lowercase(), *before])
