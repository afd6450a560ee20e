"""Quantizing what sees, embeds and reranks: mlx-vlm's bits for the first, and results that their loaders take."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.convert import convert
from mlx_vlm import utils as vlm
from mlx_vlm.embedding_loader import load_embedding_model
from mlx_vlm.reranker_loader import load_sequence_classification_model
from support.kind_checkpoints import ENCODERS, cross_encoder, encoder, seeing, write
from support.quantized_files import assert_same, quantized, weights

PROMPT = mx.array([[5, 9, 200, 31, 7]])


class Processor:
    """Stands for the image processor, which quantizing does not touch."""


@pytest.mark.parametrize(
    ("dtype", "bits", "size", "mode"),
    [("float32", 4, 32, "affine"), ("bfloat16", 8, 64, "affine"), ("bfloat16", 4, 16, "nvfp4")],
)
def test_what_sees_gets_mlx_vlms_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, bits: int, size: int, mode: str
) -> None:
    source = seeing(tmp_path / "source", dtype)
    theirs = importlib.import_module("mlx_vlm.convert")  # the package hides the module behind a function
    monkeypatch.setattr(
        theirs, "fetch_from_hub", lambda path, lazy, **_: (vlm.load_model(path, lazy), vlm.load_config(path), Processor)
    )
    theirs.convert(str(source), str(tmp_path / "theirs"), quantize=True, q_bits=bits, q_group_size=size, q_mode=mode)
    quantized(source, tmp_path / "ours", "vlm", bits, size, mode)
    assert_same(tmp_path / "ours", tmp_path / "theirs")
    assert not any("vision" in name and name.endswith(".scales") for name in weights(tmp_path / "ours"))
    assert "vision_config" in json.loads((tmp_path / "ours" / "config.json").read_text())
    assert vlm.load_model(tmp_path / "ours").language_model(PROMPT).logits.shape == (1, 5, 320)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_that_embed_load_and_stay_near(tmp_path: Path, name: str) -> None:
    """Also where a dense layer follows the pooling; its weights are not the encoder's."""
    source = encoder(tmp_path / "source", name)
    quantized(source, tmp_path / "ours", "embedding", 8, 32)
    (source / "2_Dense" / "model.safetensors").unlink()
    mine, full = (load_embedding_model(folder)(PROMPT).text_embeds for folder in (tmp_path / "ours", source))
    assert mx.max(mx.abs(mine - full)).item() < 0.02
    names = set(weights(tmp_path / "ours"))
    assert sum(name.endswith(".scales") for name in names) > 8
    assert not any("Dense" in name for name in names)


@pytest.mark.parametrize("name", ENCODERS)
def test_cross_encoders_load_and_keep_their_heads_whole(tmp_path: Path, name: str) -> None:
    source = cross_encoder(tmp_path / "source", name)
    quantized(source, tmp_path / "ours", "reranker", 8, 32)
    mine, full = (load_sequence_classification_model(folder)(PROMPT).logits for folder in (tmp_path / "ours", source))
    assert abs(mine.item() - full.item()) < 0.05
    found = weights(tmp_path / "ours")
    heads = [name for name in found if name.startswith(("classifier", "head", "pooler"))]
    assert len(heads) >= 2
    assert not any(name.endswith(".scales") for name in heads)


def test_a_decoder_that_embeds_gets_mlx_lms_bits(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    source = checkpoint("qwen3")
    convert(str(source), str(tmp_path / "theirs"), quantize=True, q_bits=4, q_group_size=32)
    quantized(source, tmp_path / "ours", "embedding")
    assert_same(tmp_path / "ours", tmp_path / "theirs")


def bare(source: Path, folder: Path, config: dict[str, Any], more: dict[str, mx.array], prefix: str = "") -> Path:
    """A Qwen3 without its language head, named as Sentence Transformers names it."""
    plain = json.loads((source / "config.json").read_text()) | {"tie_word_embeddings": False}
    renamed = {prefix + name.removeprefix("model."): array for name, array in weights(source).items()}
    return write(folder, plain | config, renamed | more)


def test_a_decoder_without_head_and_prefix_is_the_same_model(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """The same tensors as from the checkpoint with mlx-lm's names."""
    source = bare(checkpoint("qwen3"), tmp_path / "source", {"architectures": ["Qwen3Model"]}, {})
    quantized(source, tmp_path / "ours", "embedding")
    quantized(checkpoint("qwen3"), tmp_path / "whole", "embedding")
    assert_same(tmp_path / "ours", tmp_path / "whole")


def test_a_decoder_that_scores_keeps_its_score(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    score = {"score.weight": mx.arange(64).reshape(1, 64).astype(mx.float32)}
    config = {"architectures": ["Qwen3ForSequenceClassification"], "num_labels": 1}
    source = bare(checkpoint("qwen3"), tmp_path / "source", config, score, "model.")
    quantized(source, tmp_path / "ours", "reranker")
    found = weights(tmp_path / "ours")
    assert mx.array_equal(found["score.weight"], score["score.weight"]).item()
    assert "model.layers.0.mlp.up_proj.scales" in found
