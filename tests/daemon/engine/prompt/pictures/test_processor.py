"""What reaches a tower is what Transformers' image processor makes of a picture, in bytes a quarter of the size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image
from reference.vision_checkpoint import write
from reference.vision_models import MODELS
from support.drawn import noise
from support.pictures import picture
from transformers import AutoImageProcessor

from mlx_serve.daemon.engine.model.model_folder import read_json
from mlx_serve.daemon.engine.prompt.pictures.processor import PictureProcessor, _pack
from mlx_serve.daemon.engine.vision import families
from mlx_serve.daemon.engine.vision.families import sight_of
from mlx_serve.daemon.engine.vision.view import _array

NAMES = ["qwen2_5_vl", "qwen3_vl", "gemma3", "gemma4", "idefics3", "llava", "pixtral", "mistral3"]
SIZES = [(300, 200), (61, 333), (1, 1), (40, 40)]


class Names:
    """Of a tokenizer only what a sight asks."""

    def convert_ids_to_tokens(self, number: int) -> str:
        return f"<{number}>"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("processors")
    for name in NAMES:
        write(name, parent)
    return parent


@pytest.mark.parametrize("name", NAMES)
def test_the_same_values(folders: Path, name: str) -> None:
    """Of every size, down to a single pixel: the processor's own normalised values, to the last bits of float32."""
    folder = folders / name
    sight = sight_of(folder, read_json(folder / "config.json"), Names())
    processor = PictureProcessor(sight)
    theirs: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
    for number, (height, width) in enumerate(SIZES):
        pixels = noise(height, width, seed=number)
        arrays = processor.prepare(picture(pixels), lambda count: None).arrangement.arrays
        assert arrays["pixels"].dtype == np.uint8
        shape = (1, 3, *[1] * (arrays["pixels"].ndim - 2))
        found = arrays["pixels"] * arrays["scale"].reshape(shape) + arrays["shift"].reshape(shape)
        wanted = np.asarray(theirs(images=[Image.fromarray(pixels)], **sight.options)["pixel_values"])
        if MODELS[name].processor["processor_class"].startswith("Qwen"):
            wanted = wanted.reshape(len(found), 3, 2, -1)
            assert np.array_equal(wanted[:, :, 0], wanted[:, :, 1])
            wanted = wanted[:, :, 0]
        elif name == "gemma4":
            wanted = wanted[0, : len(found)].reshape(len(found), -1, 3).transpose(0, 2, 1)
        np.testing.assert_allclose(found.reshape(-1), wanted.reshape(-1), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["qwen3_vl", "idefics3", "pixtral", "gemma4"])
def test_little_detail_takes_fewer_tokens(folders: Path, name: str) -> None:
    """Where an architecture can; and never more than the makers' own size."""
    folder = folders / name
    if name in ("qwen3_vl", "pixtral"):  # whose tiny limits are below what little detail means
        limits = {"qwen3_vl": {"shortest_edge": 256, "longest_edge": 10**7}, "pixtral": {"longest_edge": 2048}}
        (folder / "preprocessor_config.json").write_text(json.dumps(MODELS[name].images | {"size": limits[name]}))
    processor = PictureProcessor(sight_of(folder, read_json(folder / "config.json"), Names()))
    pixels = noise(1200, 800)

    def tokens(**options: Any) -> int:
        return sum(processor.prepare(picture(pixels, **options), lambda count: None).arrangement.runs)

    assert tokens() == tokens(detail="high")
    low = tokens(detail="low")
    assert low <= tokens() if name == "gemma4" else 0 < low < tokens()


def test_a_cpu_takes_no_picture_that_would_take_all_memory(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four heads: 8192 patches of 14 by 14 pixels, for Qwen in all and for Pixtral as a square. A GPU takes more."""
    for name, size, most in (
        ("qwen2_5_vl", {"shortest_edge": 3136, "longest_edge": 12_845_056}, 8192 * 14 * 14),
        ("mistral3", {"longest_edge": 1540}, 90 * 14),
    ):
        folder = folders / name
        (folder / "preprocessor_config.json").write_text(json.dumps(MODELS[name].images | {"size": size}))
        config = read_json(folder / "config.json")
        sight = sight_of(folder, config, Names())
        assert sight.options["size"] == size | {"longest_edge": most}
        arrays = PictureProcessor(sight).prepare(picture(noise(2000, 3000)), lambda count: None).arrangement.arrays
        assert arrays["pixels"].size // 3 <= most * (most if name == "mistral3" else 1)
        with monkeypatch.context() as patched:
            patched.setattr(families, "backend", lambda: "metal")
            assert "size" not in sight_of(folder, config, Names()).options


def test_bytes_become_arrays_in_place() -> None:
    """A frame's bytes are what the engine computes with, in the order of the array."""
    array = np.arange(24, dtype=np.int32).reshape(2, 3, 4).transpose(2, 0, 1)
    assert mx.array_equal(_array(_pack(array)), mx.array(array))
