"""Folders to models: what is read from them, and a clear word for each that cannot be served."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
import transformers
from reference.architectures import END_OF_TURN, VOCABULARY
from reference.checkpoints import NAMES
from support.waiting import GUARD

from mlx_serve.daemon.engine.model import load as load_module
from mlx_serve.daemon.engine.model.load import LanguageModel, load
from mlx_serve.daemon.engine.model.model_folder import BadModel, UnsupportedModel, context_length
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
    assert told.kv_bytes_per_token == model.costs.row.token == 3 * 2 * 2 * 16 * 4
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


@pytest.mark.parametrize("name", NAMES)
def test_a_config_that_transformers_5_wrote(name: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """Saved again by Transformers 5, a model computes the same logits, to the last bit."""
    prompt = mx.array([list(range(40, 72))])
    shutil.copytree(checkpoint(name), tmp_path / "model")
    (tmp_path / "model" / "config.json").unlink()
    config = transformers.AutoConfig.from_pretrained(checkpoint(name))
    vars(config).pop("sliding_window_pattern", None)  # it keeps what it does not know, beside `layer_types`
    config.save_pretrained(tmp_path / "model")
    written = json.loads((tmp_path / "model" / "config.json").read_text())
    text = written.get("text_config", written)
    assert "rope_parameters" in text
    assert not {"rope_theta", "rope_scaling", "rope_local_base_freq", "sliding_window_pattern"} & set(text)
    logits = [bring_in(folder)[0].network(prompt) for folder in (checkpoint(name), tmp_path / "model")]
    assert mx.array_equal(*logits)


def test_a_scaling_that_the_code_does_not_follow(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """mlx-lm's Qwen3-MoE has no word of YaRN; its answers would be wrong without a sign of it."""
    folder = shutil.copytree(checkpoint("qwen3_moe"), tmp_path / "model")
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    edit(folder / "config.json", rope_scaling=scaling)
    with pytest.raises(UnsupportedModel, match=r"rope type 'yarn'.*'qwen3_moe' does not follow that"):
        bring_in(folder)


def test_more_layers_than_weights(folder: Path) -> None:
    """Found out before a layer is made: this would take gigabytes."""
    edit(folder / "config.json", num_hidden_layers=1_000_000_000)
    with pytest.raises(BadModel, match=r"num_hidden_layers is 1000000000, and the weight files hold \d+ tensors"):
        bring_in(folder)


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


def test_a_tokenizer_is_opened_while_weights_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are not done here before the tokenizer is: one after the other, that would never be."""
    opened = threading.Event()
    read = load_module._bring_in

    def slowly(network: Any, memory: int | None, files: Any) -> str:
        assert opened.wait(GUARD)
        return read(network, memory, files)

    monkeypatch.setattr(load_module, "_bring_in", slowly)
    request = Load(path=str(folder), name="x", kind="llm", max_batch=8, prefill_tokens_per_step=64)
    model, _ = load(request, lambda *_: opened.set())
    assert model.stop_tokens == {END_OF_TURN}


def test_weights_that_cannot_be_read_beside_a_tokenizer(folder: Path) -> None:
    """A load that fails has ended in whole: nothing of it goes on."""
    SPOILED["weights are cut off"](folder)
    with pytest.raises(BadModel):
        bring_in(folder)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tokenizer")]


# --- where templates and tokens stand

TOOLS = "{{ '<tool_call>' if tools else '' }}tools {{ messages[0].content }} {{ tool_call.name }}"


def template_of(folder: Path) -> Any:
    return bring_in(folder)[0].tokenizer.chat_template


def test_a_template_beside_the_processor(folder: Path) -> None:
    """Models that see keep it in `chat_template.json`; the tokenizer's own goes first."""
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "processor"}))
    edit(folder / "tokenizer_config.json", chat_template="tokenizer")
    assert template_of(folder) == "tokenizer"
    edit(folder / "tokenizer_config.json", chat_template=None)
    assert template_of(folder) == "processor"
    assert "completion" in bring_in(folder)[1].capabilities
    (folder / "chat_template.jinja").write_text("jinja")
    assert template_of(folder) == "jinja"


@pytest.mark.parametrize("place", ["list", "folder"])
def test_named_templates(folder: Path, place: str) -> None:
    """In a list of tokenizer_config.json, as older files have it, or in files of a folder."""
    edit(folder / "tokenizer_config.json", chat_template=None)
    if place == "list":
        named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": TOOLS}]
        edit(folder / "tokenizer_config.json", chat_template=named)
    else:
        (folder / "chat_template.jinja").write_text("plain")
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TOOLS)
    model, told = bring_in(folder)
    assert model.tokenizer.chat_template == {"default": "plain", "tool_use": TOOLS}
    assert "tools" in told.capabilities
    assert model.family.name == "hermes"


def test_tokens_that_an_old_folder_adds(folder: Path) -> None:
    """`added_tokens.json` and `special_tokens_map.json`, from before tokenizer.json held them all."""
    edit(folder / "tokenizer_config.json", eos_token=None)
    (folder / "added_tokens.json").write_text(json.dumps({"<|extra|>": VOCABULARY, "<|stop|>": VOCABULARY + 1}))
    stop = {"content": "<|stop|>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": stop}))
    tokenizer = bring_in(folder)[0].tokenizer
    assert tokenizer("<|extra|>a<|stop|>")["input_ids"][::2] == [VOCABULARY, VOCABULARY + 1]
    assert tokenizer.eos_token_id == VOCABULARY + 1


def test_tokens_that_an_old_tokenizer_config_adds(folder: Path) -> None:
    stop = {"content": "<|stop|>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    added = {str(VOCABULARY): stop | {"special": True}}
    edit(folder / "tokenizer_config.json", added_tokens_decoder=added, eos_token=stop | {"__type": "AddedToken"})
    model = bring_in(folder)[0]
    assert model.tokenizer("a<|stop|>")["input_ids"][-1] == VOCABULARY
    assert VOCABULARY in model.stop_tokens and VOCABULARY in model.vocabulary.hidden
