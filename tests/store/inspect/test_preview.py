"""What the small files alone give away, before any weights are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.store.disk.manifests import Kind
from mlx_serve.store.errors import DamagedModel, UnsupportedModel
from mlx_serve.store.inspect.preview import Preview, preview
from mlx_serve.store.inspect.weightsets import INDEX

QWEN = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
SEEING = {"model_type": "qwen3_vl", "architectures": ["Qwen3VLForConditionalGeneration"], "vision_config": {"depth": 1}}
DENSE = [{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]


def look(folder: Path, files: dict[str, Any], *more: str, name: str = "x", kind: Kind | None = None) -> Preview:
    for path, content in files.items():
        (folder / path).write_text(json.dumps(content))
    return preview({path: folder / path for path in files}, [*files, *more], (name,), kind)


def index(*tensors: str) -> dict[str, Any]:
    return {"weight_map": dict.fromkeys(tensors, "model.safetensors")}


@pytest.mark.parametrize(
    ("files", "name", "kind"),
    [
        ({"config.json": QWEN}, "chat", "llm"),
        ({"config.json": QWEN}, "Qwen3-Reranker-0.6B", "reranker"),
        ({"config.json": QWEN, "config_sentence_transformers.json": {}}, "x", "embedding"),
        ({"config.json": SEEING}, "x", None),
        ({"config.json": SEEING, INDEX: index("visual.blocks.0.weight")}, "x", "vlm"),
        ({"config.json": SEEING | {"model_type": "gemma3"}, INDEX: index("model.norm.weight")}, "x", "llm"),
        ({"config.json": SEEING | {"model_type": "idefics3"}}, "x", None),
    ],
)
def test_the_kind_as_far_as_it_can_be_told(tmp_path: Path, files: dict[str, Any], name: str, kind: str | None) -> None:
    """Only vlm or llm may be open, and only where no index lists the tensors."""
    found = look(tmp_path, files, name=name)
    assert (found.kind, found.architecture) == (kind, files["config.json"]["model_type"])
    assert found.index == files.get(INDEX)


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        ({"config.json": QWEN | {"model_type": "qwen99"}}, None, "'qwen99' is not supported as llm"),
        ({"config.json": SEEING | {"model_type": "see99"}}, None, "'see99' is not supported as vlm"),
        ({"config.json": SEEING | {"model_type": "idefics3"}, INDEX: index("norm")}, None, "'idefics3' .* as llm"),
        ({"config.json": QWEN}, "vlm", "'qwen3' is not supported as vlm"),
        ({"config.json": QWEN | {"auto_map": {"AutoModel": "modeling.X"}}}, None, "asks for Python code"),
        ({"config.json": QWEN | {"model_type": "qwen99"}, "modules.json": 7}, None, "'qwen99'"),
        ({"config.json": {"model_type": None}}, None, "no model_type"),
        ({"config.json": {"model_type": "t5", "is_encoder_decoder": True}}, None, "encoder-decoder"),
        ({"config.json": {"model_type": "bert"}, "modules.json": DENSE}, None, "2_Dense has no model.safetensors"),
    ],
)  # fmt: skip
def test_what_is_refused_before_the_weights(tmp_path: Path, files: dict[str, Any], kind: Kind, words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words):
        look(tmp_path, files, "model.safetensors", kind=kind)


def test_layers_that_will_be_there(tmp_path: Path) -> None:
    """Weights count by the listing; they are not here yet."""
    files = {"config.json": {"model_type": "bert"}, "modules.json": DENSE}
    assert look(tmp_path, files, "model.safetensors", "2_Dense/model.safetensors").kind == "embedding"


def test_configs_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DamagedModel, match=r"config\.json is not valid JSON"):
        preview({"config.json": tmp_path / "config.json"}, ["config.json"], ("x",))
