"""Folders of models that see: quantized ones, names and configs of every age, a clear word where no code is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from reference.vision_checkpoint import recorded, write
from support.engine_wire import GREEDY, Wire, generator, run
from support.pictures import about, picture
from support.quantized_files import quantized
from support.watched_logits import watch

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.model.model_folder import BadModel, UnsupportedModel
from mlx_serve.daemon.engine.vision.checkpoint import load_seeing
from mlx_serve.daemon.engine.vision.families import FAMILIES
from mlx_serve.daemon.protocol import Ask, Generate, Load, TokenPrompt
from mlx_serve.store.inspect.architectures import SEEING, known

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A tiny model's folder, with keys of its config changed."""

    def folder(name: str, **config: Any) -> Path:
        write(name, tmp_path)
        path = tmp_path / name / "config.json"
        content = json.loads(path.read_text())
        for key, value in config.items():
            section = content
            *outer, last = key.split("__")
            for part in outer:
                section = section[part]
            section[last] = value
        path.write_text(json.dumps(content))
        return tmp_path / name

    return folder


def bring_in(folder: Path) -> LanguageModel:
    request = Load(path=str(folder), name="x", kind="vlm", max_batch=4, prefill_tokens_per_step=512)
    return load_seeing(request)[0]


def text_logits(model: LanguageModel, name: str) -> np.ndarray[Any, Any]:
    """The first row behind the recorded prompt without pictures."""
    prompt = tuple(recorded(name)["none.prompt"].tolist())
    wire = Wire(model)
    made = generator(model, wire, tokens_per_step=512)
    rows = watch(made)
    run((made, wire), iter([[Ask(id=1, work=Generate(prompt=TokenPrompt(ids=prompt), max_tokens=1, sampling=GREEDY))]]))
    return rows[1][0]


def renamed(folder: Path, how: Callable[[str], str]) -> None:
    path = folder / "model.safetensors"
    weights: Any = mx.load(str(path))
    mx.save_safetensors(str(path), {how(name): weight for name, weight in weights.items()}, metadata={"format": "pt"})


def test_newer_names_of_weights(make: Make) -> None:
    """As a model is called in Transformers' memory, which some checkpoints are saved with."""
    folder = make("llava")
    renamed(
        folder,
        lambda name: (
            "lm_head.weight"
            if "lm_head" in name
            else "model." + name.replace("language_model.model.", "language_model.", 1)
        ),
    )
    found = text_logits(bring_in(folder), "llava")
    np.testing.assert_allclose(found, recorded("llava")["none.logits"][0], rtol=0, atol=1e-3)


def test_experts_as_transformers_5_writes_them(make: Make) -> None:
    """The matrices of all experts of a layer are in one tensor, in published files the other way round."""
    folder = make("qwen3_vl_moe")
    path = folder / "model.safetensors"
    weights: Any = mx.load(str(path))
    experts = {name: weight.swapaxes(1, 2) for name, weight in weights.items() if ".experts." in name}
    assert len(experts) == 8
    mx.save_safetensors(str(path), weights | experts, metadata={"format": "pt"})
    found = text_logits(bring_in(folder), "qwen3_vl_moe")
    np.testing.assert_allclose(found, recorded("qwen3_vl_moe")["none.logits"][0], rtol=0, atol=1e-3)


def test_older_names_of_towers(make: Make) -> None:
    folder = make("gemma3")
    renamed(folder, lambda name: name.replace("vision_tower.", "vision_tower.vision_model.", 1))
    found = text_logits(bring_in(folder), "gemma3")
    np.testing.assert_allclose(found, recorded("gemma3")["none.logits"][0], rtol=0, atol=1e-3)


def test_older_spelling_of_settings(make: Make) -> None:
    """Qwen2.5-VL as its makers wrote it: everything at the top, `rope_theta`, `rope_scaling` of type mrope."""
    folder = make("qwen2_5_vl")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    text = config.pop("text_config")
    rotary = text.pop("rope_parameters")
    config = text | config | {"rope_theta": rotary["rope_theta"], "model_type": "qwen2_5_vl"}
    config["rope_scaling"] = {"type": "mrope", "mrope_section": rotary["mrope_section"]}
    config["vision_config"].pop("model_type")
    path.write_text(json.dumps(config))
    model = bring_in(folder)
    assert model.network.has_axes
    found = text_logits(model, "qwen2_5_vl")
    np.testing.assert_allclose(found, recorded("qwen2_5_vl")["none.logits"][0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["qwen3_vl", "gemma3", "mistral3", "qwen3_vl_moe"])
def test_quantized(make: Make, tmp_path: Path, name: str) -> None:
    """With our own quantizer's eight bits: packed layers are unpacked, for this is a CPU, and logits move a little."""
    source, target = make(name), tmp_path / "quantized"
    quantized(source, target, "vlm", 8, 32, "affine")
    for path in source.iterdir():
        if not (target / path.name).exists():
            shutil.copy(path, target)
    model = bring_in(target)
    packed = [name for path in target.glob("*.safetensors") for name in mx.load(str(path)) if name.endswith(".scales")]
    assert len(packed) > 20
    assert {array.dtype for _, array in tree_flatten(model.network.language.parameters())} == {mx.float32}
    found, exact = text_logits(model, name), recorded(name)["none.logits"][0]
    assert 0 < np.abs(found - exact).max() < 0.1 * np.abs(exact).max()
    prompt = about([picture(np.full((64, 64, 3), 90, np.uint8))], "What is this?")
    wire = Wire(model)
    made = generator(model, wire, tokens_per_step=512)
    run((made, wire), iter([[Ask(id=1, work=Generate(prompt=prompt, max_tokens=3, sampling=GREEDY, ignore_eos=True))]]))
    assert wire.finished(1).completion_tokens == 3


@pytest.mark.parametrize(
    ("name", "key", "value", "sentence"),
    [
        ("llava", "model_type", "molmo", "no code for what model type 'molmo' does with pictures"),
        ("llava", "vision_config__hidden_act", "gelu", "vision_config.hidden_act is 'gelu'"),
        ("pixtral", "projector_hidden_act", "relu", "projector_hidden_act is 'relu'"),
        ("llava", "text_config__rope_parameters", {"rope_type": "dreamt", "rope_theta": 1e4}, "rope_scaling|dreamt"),
        ("llava", "auto_map", {"AutoModel": "evil.Model"}, "asks to run code of its own"),
        ("gemma4", "text_config__per_layer_config", {"2": {"sliding_window": 3}}, "per_layer_config has settings"),
    ],
)
def test_what_there_is_no_code_for(make: Make, name: str, key: str, value: Any, sentence: str) -> None:
    """Refused with a sentence, never computed with something else."""
    with pytest.raises((UnsupportedModel, BadModel), match=sentence):
        bring_in(make(name, **{key: value}))


def test_a_pull_refuses_what_a_load_would() -> None:
    """The store's list is the engine's."""
    assert set(FAMILIES) == SEEING
    assert all(known(model_type, "vlm") for model_type in FAMILIES)


def test_an_image_processor_that_is_missing_or_unknown(make: Make) -> None:
    folder = make("llava")
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "DreamtImageProcessor"}))
    with pytest.raises(BadModel, match="the image processor cannot be read"):
        bring_in(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BadModel, match="the image processor cannot be read"):
        bring_in(folder)


def test_a_picture_token_that_is_not_there(make: Make) -> None:
    with pytest.raises(BadModel, match="no token for pictures"):
        bring_in(make("llava", image_token_index=4000))
