"""Folders to models: what is read from them, and a clear word for each that cannot be served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reference.architectures import END_OF_TURN, VOCABULARY

from mlx_serve.daemon.engine.model.load import BadModel, LanguageModel, UnsupportedModel, context_length, load
from mlx_serve.daemon.protocol import Load, Loaded, Sampling


@pytest.fixture
def folder(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a good checkpoint, to spoil."""
    shutil.copytree(checkpoint("llama"), tmp_path / "model")
    return tmp_path / "model"


def bring_in(folder: Path, **options: Any) -> tuple[LanguageModel, Loaded]:
    given: dict[str, Any] = {"kind": "llm", "max_batch": 8, "prefill_tokens_per_step": 64} | options
    return load(Load(path=str(folder), name="x", **given))


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in (content | changes).items() if value is not None}))


def test_the_facts_of_a_model(folder: Path) -> None:
    model, told = bring_in(folder)
    # Three layers, keys and values, two heads of 16 in float32.
    assert told.kv_bytes_per_token == model.key_value_bytes == 3 * 2 * 2 * 16 * 4
    assert told.weight_bytes == pytest.approx((folder / "model.safetensors").stat().st_size, rel=0.02)
    assert (told.vocabulary, told.context_length, told.batchable) == (VOCABULARY, 512, True)
    assert told.capabilities == ("completion",)
    assert model.stop_tokens == {END_OF_TURN}
    assert told.seconds > 0


def test_the_context_may_be_narrowed_and_not_widened(folder: Path) -> None:
    assert bring_in(folder, context_length=100)[1].context_length == 100
    assert bring_in(folder, context_length=10_000)[1].context_length == 512


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 77}, 77),
        ({"n_positions": 88}, 88),
        ({"text_config": {"max_position_embeddings": 99}}, 99),
        ({"max_position_embeddings": "many"}, 4096),
        ({}, 4096),
    ],
)
def test_where_the_context_length_stands(config: dict[str, Any], length: int) -> None:
    assert context_length(config) == length


def test_every_stop_token_that_any_file_names(folder: Path) -> None:
    """The generation config, the config and the tokenizer each may name some."""
    edit(folder / "generation_config.json", eos_token_id=[5, 6])
    edit(folder / "config.json", eos_token_id=[7])
    assert bring_in(folder)[0].stop_tokens == {5, 6, 7, END_OF_TURN}


def test_the_makers_sampling(folder: Path) -> None:
    """generation_config's values are defaults, where they are numbers; a model that does not sample is greedy."""
    edit(folder / "generation_config.json", temperature=0.6, top_k=20, top_p=0.95, do_sample=True, min_p=True)
    defaults = bring_in(folder)[0].defaults
    assert (defaults.temperature, defaults.top_k, defaults.top_p, defaults.min_p) == (0.6, 20, 0.95, None)
    edit(folder / "generation_config.json", top_k=float("inf"), temperature=float("nan"), min_p=10**400)
    assert bring_in(folder)[0].defaults == Sampling(top_p=0.95)
    edit(folder / "generation_config.json", do_sample=False)
    assert bring_in(folder)[0].defaults.temperature == 0.0


@pytest.mark.parametrize("kind", ["vlm", "embedding", "reranker"])
def test_other_kinds_are_not_served_yet(folder: Path, kind: str) -> None:
    with pytest.raises(UnsupportedModel, match=kind):
        bring_in(folder, kind=kind)


@pytest.mark.parametrize("key", ["model_file", "auto_map", "trust_remote_code"])
def test_code_in_a_model_is_never_run(folder: Path, key: str) -> None:
    edit(folder / "config.json", **{key: "evil.py"})
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(UnsupportedModel, match=key):
        bring_in(folder)


def test_an_architecture_nobody_knows(folder: Path) -> None:
    edit(folder / "config.json", model_type="no_such_model")
    with pytest.raises(UnsupportedModel, match="no_such_model"):
        bring_in(folder)


def test_an_architecture_whose_package_is_missing(folder: Path) -> None:
    """mlx-lm's olmo ends the whole process when hf_olmo is not there; here it is a sentence."""
    edit(folder / "config.json", model_type="olmo")
    with pytest.raises(UnsupportedModel, match="olmo"):
        bring_in(folder)


SPOILED: dict[str, Callable[[Path], object]] = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "config is a list": lambda folder: (folder / "config.json").write_text("[]"),
    "config is cut off": lambda folder: (folder / "config.json").write_text('{"model_type":'),
    "config is deep": lambda folder: (folder / "config.json").write_text("[" * 100_000),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "weights are cut off": lambda folder: (folder / "model.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:1000]
    ),
    "weights' header is no JSON": lambda folder: (folder / "model.safetensors").write_bytes(
        (20).to_bytes(8, "little") + b"x" * 100
    ),
    "weights' header is endless": lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 100),
    "weights are empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "weights are of another size": lambda folder: edit(folder / "config.json", hidden_size=128, head_dim=32),
    "a layer too many": lambda folder: edit(folder / "config.json", num_hidden_layers=4),
    "a layer too few": lambda folder: edit(folder / "config.json", num_hidden_layers=2),
    "no size at all": lambda folder: edit(folder / "config.json", hidden_size=None),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "tokenizer is cut off": lambda folder: (folder / "tokenizer.json").write_text('{"version": "1.0",'),
    "generation config is a list": lambda folder: (folder / "generation_config.json").write_text("[]"),
}


@pytest.mark.parametrize("what", SPOILED)
@pytest.mark.filterwarnings("ignore")
def test_a_spoiled_folder_is_a_bad_model(folder: Path, what: str) -> None:
    """Nothing but BadModel comes out, with a sentence that does not tell where the folder is."""
    SPOILED[what](folder)
    with pytest.raises(BadModel) as caught:
        bring_in(folder)
    assert str(caught.value)
    assert str(folder) not in str(caught.value)
