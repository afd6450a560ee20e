"""A folder's tokenizer and what a prompt process must know of its model, without reading weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from ...protocol import Load
from ..embed.data import embed_data
from ..embed.recipe import read_recipe
from ..encode.encoders import is_encoder
from ..encode.tokenizer import length_limit, load_tokenizer
from ..model.model_folder import context_length, read_json, reading, tokenizer_options
from ..prompt.prompt_frames import Model, ModelData, RerankData, SightData, TokenizerData
from ..prompt.text.encoding import tokenizer_data


def open_tokenizer(request: Load) -> tuple[TokenizerData, Model]:
    """Raises BadModel, UnsupportedModel, MemoryError."""
    folder = Path(request.path)
    config = read_json(folder / "config.json")
    wanted = request.context_length
    with reading(folder, config):
        options = tokenizer_options(folder)
        model: Model
        match request.kind:
            case "embedding":
                recipe = read_recipe(folder, config, request.name, decoder=not is_encoder(config))
                tokenizer = load_tokenizer(folder, None, lower_case=recipe.lower_case)
                model = embed_data(config, recipe, tokenizer, wanted)
            case "reranker":
                tokenizer = load_tokenizer(folder, None)
                longest = length_limit(config, tokenizer, None, wanted)
                model = RerankData(rows=int(config["vocab_size"]), longest=longest)
            case _:
                tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
                context = context_length(config)
                model = ModelData(
                    rows=_rows(config, tokenizer),
                    context_length=min(context, wanted or context),
                    sight=_sight(folder, config, tokenizer) if request.kind == "vlm" else None,
                )
        return tokenizer_data(tokenizer, str(folder), options), model


def _sight(folder: Path, config: dict[str, Any], tokenizer: Any) -> SightData | None:
    """None for an architecture whose pictures nobody knows here. Raises BadModel."""
    from ..vision.families import family_of, sight_of  # MLX comes along, and goes with this process

    return sight_of(folder, config, tokenizer) if family_of(config) is not None else None


def _rows(config: dict[str, Any], tokenizer: Any) -> int:
    """The limit for token ids, as the config has it: without weights nobody knows how many rows they have."""
    for section in (config.get("text_config"), config):
        if isinstance(section, dict) and isinstance(size := section.get("vocab_size"), int) and size > 0:
            return size
    return len(tokenizer)
