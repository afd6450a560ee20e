"""A folder's tokenizer, handed on to the prompt process, and how long an input may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers.normalizers import Lowercase, Sequence
from transformers import AutoTokenizer

from ..model.model_folder import UseTokenizer
from .encoders import ROBERTA


def load_tokenizer(folder: Path, use_tokenizer: UseTokenizer | None, *, lower_case: bool = False) -> Any:
    """Transformers' tokenizer. Raises ValueError, OSError and whatever its files make it raise."""
    options = {"trust_remote_code": False, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ValueError("Model type with a tokenizer without tokenizer.json is not supported")
    if lower_case:
        _lower(tokenizer.backend_tokenizer)
    if use_tokenizer is not None:
        use_tokenizer(tokenizer, str(folder), options)
    return tokenizer


def length_limit(config: Mapping[str, Any], tokenizer: Any, stated: int | None, wanted: int | None) -> int:
    """Tokens of the longest input: what Sentence Transformers was told, else what tokenizer and config say; never past
    the positions that there are. `wanted`: the setting, where it is lower."""
    positions = config.get("max_position_embeddings")
    limits = [positions] if isinstance(positions, int) and positions > 0 else []
    if config.get("model_type") in ROBERTA and limits:
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
    before = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = Sequence([Lowercase(), *before])
