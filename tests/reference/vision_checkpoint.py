"""Writes the tiny models that see: numbers from a seed, under the names that were recorded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference.blocks import Fill, Tensor
from reference.checkpoints import Source, _fill
from reference.recorded_file import FOLDER
from reference.vision_models import CASES, MODELS, SeeingModel, tokenizer_json, tokenizer_settings
from safetensors.numpy import save_file

Shapes = dict[str, list[int]]


def recorded(name: str) -> dict[str, NDArray[Any]]:
    with np.load(FOLDER / f"seeing-{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def how(name: str, shape: list[int], model: SeeingModel) -> Fill:
    """By its name, which kind of weight this is."""
    last = name.rsplit(".", 1)[-1]
    if last in ("A_log", "dt_bias"):
        return "decay" if last == "A_log" else "step"
    if last == "bias":
        return "zero"
    if last in ("scale", "per_expert_scale"):
        return "one"
    if "norm" in name or "ln_" in name or (len(shape) == 1 and last == "weight"):
        text = "vision" not in name and "visual" not in name
        # The norms of linear attention multiply, those around it multiply by one more.
        return "zero" if model.offset_norms and text and "linear_attn.norm" not in name else "one"
    if "embed" in name and "patch" not in name:
        return "tied" if model.config.get("text_config", {}).get("tie_word_embeddings") else "embedding"
    return "matrix"


def filled(source: Source, path: str, shape: list[int], model: SeeingModel) -> NDArray[np.float32]:
    """The matrices of all experts of a layer may be in one tensor."""
    if ".experts." in path and len(shape) == 3:
        return np.stack([_fill(source, Tensor(tuple(shape[1:]), "matrix")) for _ in range(shape[0])])
    return _fill(source, Tensor(tuple(shape), how(path, shape, model)))


def write(name: str, parent: Path, shapes: Shapes | None = None, config: dict[str, Any] | None = None) -> str:
    """The model's folder is `parent/name`; gives the sha256 of its weights. `shapes` and `config` are the recorded ones
    where they are not given."""
    model = MODELS[name]
    if shapes is None or config is None:
        known = recorded(name)
        shapes, config = json.loads(str(known["shapes"])), json.loads(str(known["config"]))
    assert shapes is not None
    source, tensors, digest = Source(model.seed), {}, hashlib.sha256()
    for path in sorted(shapes):
        tensors[path] = filled(source, path, shapes[path], model)
        digest.update(f"{path} {shapes[path]}\n".encode() + tensors[path].astype("<f4").tobytes())
    folder = parent / name
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    files = {
        "config.json": config,
        "generation_config.json": {"eos_token_id": TEXT_END, "do_sample": False},
        "tokenizer.json": tokenizer_json(model),
        "tokenizer_config.json": tokenizer_settings(model),
        "preprocessor_config.json": model.images,
        "processor_config.json": model.processor,
    }
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return digest.hexdigest()


TEXT_END = MODELS["llava"].config["text_config"]["eos_token_id"]
NAMES = tuple(MODELS)
CASE_NAMES = tuple(CASES)
