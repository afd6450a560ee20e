"""Quantizing language models: mlx-lm's own result to the last bit, and never the whole model in memory."""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm.convert import convert
from mlx_lm.models import llama
from mlx_lm.utils import load_model
from reference.checkpoints import make
from support.quantized_files import assert_same, quantized, restored, weights

from mlx_serve.daemon.engine.model.model_folder import BadModel, UnsupportedModel
from mlx_serve.daemon.engine.model.network import open_network
from mlx_serve.daemon.engine.quantize import conversion as engine
from mlx_serve.daemon.engine.quantize.shards import open_shards

Checkpoint = Callable[[str], Path]

SETTINGS = [
    *((bits, size, "affine") for bits in (2, 3, 4, 5, 6, 8) for size in (32, 64)),
    (4, 32, "mxfp4"),
    (4, 16, "nvfp4"),
    (8, 32, "mxfp8"),
]


@pytest.mark.parametrize(("bits", "size", "mode"), SETTINGS)
def test_every_setting_gives_mlx_lms_bits(
    checkpoint: Checkpoint, tmp_path: Path, bits: int, size: int, mode: str
) -> None:
    source = checkpoint("llama")
    convert(str(source), str(tmp_path / "theirs"), quantize=True, q_bits=bits, q_group_size=size, q_mode=mode)
    quantized(source, tmp_path / "ours", bits=bits, group_size=size, mode=mode)
    assert_same(tmp_path / "ours", tmp_path / "theirs")
    index = "model.safetensors.index.json"
    assert json.loads((tmp_path / "ours" / index).read_text()) == json.loads((tmp_path / "theirs" / index).read_text())


@pytest.mark.parametrize("mode", ["affine", "mxfp4"])
@pytest.mark.parametrize("name", ["qwen3", "qwen3_moe", "gemma3", "phi3"])
def test_every_architecture_follows_its_own_rules(checkpoint: Checkpoint, tmp_path: Path, name: str, mode: str) -> None:
    """Tied embeddings, stacked experts, routers that keep more bits, renamed weights."""
    source = checkpoint(name)
    convert(str(source), str(tmp_path / "theirs"), quantize=True, q_bits=4, q_group_size=32, q_mode=mode)
    quantized(source, tmp_path / "ours", mode=mode)
    assert_same(tmp_path / "ours", tmp_path / "theirs")


@pytest.mark.parametrize(("stored", "stated"), [("bfloat16", "bfloat16"), ("float32", "bfloat16"), ("float16", None)])
def test_the_weights_get_the_type_that_config_json_states(
    checkpoint: Checkpoint, tmp_path: Path, stored: str, stated: str | None
) -> None:
    source = restored(checkpoint("qwen3"), tmp_path / "source", stored, {"torch_dtype": stated})
    convert(str(source), str(tmp_path / "theirs"), quantize=True, q_bits=4, q_group_size=32)
    quantized(source, tmp_path / "ours")
    assert_same(tmp_path / "ours", tmp_path / "theirs")
    assert weights(tmp_path / "ours")["model.norm.weight"].dtype == getattr(mx, stated or stored)


def test_the_result_loads_and_errs_no_more_than_mlx_lms(checkpoint: Checkpoint, tmp_path: Path) -> None:
    source = checkpoint("llama")
    convert(str(source), str(tmp_path / "theirs"), quantize=True, q_bits=4, q_group_size=32)
    quantized(source, tmp_path / "ours")
    prompt = mx.array([[5, 9, 200, 31, 7]])
    full, mine, theirs = (load_model(folder)[0](prompt) for folder in (source, tmp_path / "ours", tmp_path / "theirs"))
    assert mx.max(mx.abs(mine - full)).item() == mx.max(mx.abs(theirs - full)).item() > 0


def test_only_the_quantization_is_new_in_config_json(checkpoint: Checkpoint, tmp_path: Path) -> None:
    source = restored(checkpoint("qwen3"), tmp_path / "source", "float32", {"z": {"ö": 1}, "_name_or_path": "x"})
    quantized(source, tmp_path / "ours", bits=6, group_size=64)
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (source, tmp_path / "ours"))
    settings = {"bits": 6, "group_size": 64, "mode": "affine"}
    assert after == before | {"quantization": settings, "quantization_config": settings}
    assert sorted(file.name for file in (tmp_path / "ours").iterdir()) == [
        "config.json",
        "model.safetensors",
        "model.safetensors.index.json",
    ]


def test_progress_counts_the_sources_bytes_up_to_the_last(checkpoint: Checkpoint, tmp_path: Path) -> None:
    result, news = quantized(checkpoint("qwen3_moe"), tmp_path / "ours")
    total = sum(array.nbytes for array in weights(checkpoint("qwen3_moe")).values())
    assert news[0] == (0, total)
    assert news[-1] == (total, total)
    assert news == sorted(news)
    assert len(news) > 20
    assert result.weight_bytes == sum(array.nbytes for array in weights(tmp_path / "ours").values())
    assert result.peak_memory > 0


def test_the_same_source_gives_the_same_files(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Nothing random and no order of threads in the bytes, so that a second result is the same blobs."""
    for name in ("once", "again"):
        quantized(checkpoint("qwen3_moe"), tmp_path / name)
    for file in (tmp_path / "once").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_memory_holds_a_window_of_the_weights_and_not_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"hidden_size": 256, "num_hidden_layers": 24, "intermediate_size": 1024, "num_attention_heads": 4}
    config = {"model_type": "llama", "rms_norm_eps": 1e-6, "vocab_size": 64, "tie_word_embeddings": True} | shape
    network = llama.Model(llama.ModelArgs.from_dict(config))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(tmp_path / "source" / "model.safetensors"), dict(tree_flatten(network.parameters())))
    total = sum(array.nbytes for _, array in tree_flatten(network.parameters()))
    del network
    monkeypatch.setattr(engine, "WINDOW", 4 << 20)
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    quantized(tmp_path / "source", tmp_path / "ours")
    assert total > 90 << 20
    assert mx.get_peak_memory() - before < 8 << 20


def test_weights_are_cut_into_shards_with_an_index(tmp_path: Path) -> None:
    """In order, none larger than the limit unless one tensor is; types wider first, so that all are aligned."""
    arrays = [(f"w{n}", mx.full((n + 1, 3), n, mx.uint8 if n % 2 else mx.float32)) for n in range(9)]
    with open_shards(tmp_path, arrays, parameters=5, limit=100) as places:
        for name, array in arrays:
            engine.write(places[name], memoryview(mx.contiguous(array).reshape(-1).view(mx.uint8)))  # type: ignore[arg-type]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": sum(array.nbytes for _, array in arrays), "total_parameters": 5}
    files = sorted(tmp_path.glob("model-*-of-*.safetensors"))
    assert [file.name for file in files] == sorted(set(index["weight_map"].values()))
    assert len(files) == int(files[0].stem[-5:]) > 2
    for file in files:
        found = mx.load(str(file))
        assert sum(array.nbytes for array in found.values()) <= 100 or len(found) == 1
        (length,) = struct.unpack("<Q", file.read_bytes()[:8])
        header = json.loads(file.read_bytes()[8 : 8 + length])
        assert length % 8 == 0
        assert header.pop("__metadata__") == {"format": "mlx"}
        for name, array in found.items():
            assert index["weight_map"][name] == file.name
            assert mx.array_equal(array, dict(arrays)[name]).item()
            assert header[name]["data_offsets"][0] % array.itemsize == 0


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"quantization": {"bits": 4, "group_size": 64}}, "quantized already"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantized already"),
        ({"text_config": {"quantization_config": {"quant_method": "awq"}}}, "quantized already"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "code of its own"),
        ({"model_file": "x.py"}, "code of its own"),
    ],
)
def test_sources_that_cannot_be_quantized_are_refused_before_a_byte_is_written(
    checkpoint: Checkpoint, tmp_path: Path, config: dict[str, Any], sentence: str
) -> None:
    source = restored(checkpoint("llama"), tmp_path / "source", "float32", config)
    with pytest.raises(UnsupportedModel, match=sentence):
        quantized(source, tmp_path / "ours")
    assert not list((tmp_path / "ours").iterdir())


def test_packed_weights_are_refused_whatever_config_json_says(checkpoint: Checkpoint, tmp_path: Path) -> None:
    quantized(checkpoint("llama"), tmp_path / "packed")
    (tmp_path / "packed" / "config.json").write_bytes((checkpoint("llama") / "config.json").read_bytes())
    with pytest.raises(UnsupportedModel, match=r"quantized already \(model\.safetensors holds U32\)"):
        quantized(tmp_path / "packed", tmp_path / "ours")


def test_a_model_without_a_layer_that_fits_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="group size 128"):
        quantized(checkpoint("llama"), tmp_path / "ours", group_size=128)
    assert not list((tmp_path / "ours").iterdir())


def test_a_damaged_header_is_the_models_fault(tmp_path: Path) -> None:
    source = make("llama", tmp_path).folder
    (source / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(BadModel, match=r"model\.safetensors"):
        quantized(source, tmp_path / "ours")


def test_a_disk_that_fills_up_midway_ends_the_work_at_once(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: memoryview, offset: int) -> int:
        if offset > 40_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(descriptor, data, offset)

    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        quantized(checkpoint("llama"), tmp_path / "ours")


def test_a_config_that_transformers_5_wrote(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """`rope_parameters` and `dtype` mean what `rope_theta` and `torch_dtype` meant; the copy says them unchanged."""
    old = restored(checkpoint("qwen3_moe"), tmp_path / "old", "bfloat16")
    new = restored(checkpoint("qwen3_moe"), tmp_path / "new", "bfloat16")
    config = json.loads((new / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": config.pop("rope_theta")}
    config["dtype"], config["num_local_experts"] = config.pop("torch_dtype"), config.pop("num_experts")
    (new / "config.json").write_text(json.dumps(config))
    for source in (old, new):
        quantized(source, tmp_path / f"{source.name}-4bit")
    ours, theirs = weights(tmp_path / "new-4bit"), weights(tmp_path / "old-4bit")
    assert ours.keys() == theirs.keys()
    assert all(mx.array_equal(array, theirs[name]).item() for name, array in ours.items())
    written = json.loads((tmp_path / "new-4bit" / "config.json").read_text())
    assert written["rope_parameters"] == config["rope_parameters"] and "rope_theta" not in written
    network, _ = open_network(tmp_path / "new-4bit", written)
    assert network.layers[0].self_attn.rope.base == config["rope_parameters"]["rope_theta"]


def test_a_scaling_that_the_code_does_not_follow_is_refused_before_the_work(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    folder = restored(checkpoint("qwen3_moe"), tmp_path / "model", "float32", {"rope_scaling": scaling})
    with pytest.raises(UnsupportedModel, match="'yarn'"):
        quantized(folder, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
