"""Opens one tokenizer with Transformers and hands it on: `python -m mlx_serve.daemon.engine.tokenize.opening --fd N`.

What comes out is what the engine of the loaded model would tell its prompt process. No weights are read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
from transformers import AutoTokenizer

from ...protocol import Load, LoadFailed
from ..embed.data import embed_data
from ..embed.recipe import read_recipe
from ..encode.encoders import is_encoder
from ..encode.tokenizer import length_limit, load_tokenizer
from ..model.model_folder import BadModel, UnsupportedModel, context_length, read_json, reading, tokenizer_options
from ..process import inherit
from ..prompt.prompt_frames import Model, ModelData, RerankData, SightData, TokenizerData, body, receive, send
from ..prompt.text.encoding import tokenizer_data

_loads = msgspec.msgpack.Decoder(Load)


def main() -> None:
    sock = inherit()
    frame = receive(sock)
    if frame is not None:
        for message in _answers(_loads.decode(frame)):
            send(sock, body(message))
    os._exit(0)


def _answers(request: Load) -> tuple[TokenizerData | Model | LoadFailed, ...]:
    try:
        return open_tokenizer(request)
    except BadModel as error:
        return (LoadFailed(code="bad_model", message=str(error)),)
    except UnsupportedModel as error:
        return (LoadFailed(code="unsupported", message=str(error)),)
    except MemoryError:
        return (
            LoadFailed(code="insufficient_memory", message="its tokenizer does not fit into this machine's memory"),
        )
    except Exception as error:
        text = " ".join(str(error).replace(request.path, "the model").split())[:300]
        return (LoadFailed(code="internal_error", message=f"{type(error).__name__}: {text}"),)


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


if __name__ == "__main__":
    main()
