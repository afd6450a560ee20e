"""Settings of single models: where they may stand, what they may be, and the sentence for what they may not."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mlx_serve.daemon.parameters import TABLE
from mlx_serve.daemon.reload.model_defaults import OPTIONS, defaults
from mlx_serve.daemon.settings import command as config_command
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.daemon.settings.one_model import SPECS, OneModel
from mlx_serve.daemon.settings.renewal import renew
from mlx_serve.daemon.settings.schema import Settings
from mlx_serve.daemon.settings.value import ConfigError
from mlx_serve.handlers.model_options import options

FILE = """\
models:
  aliases: {fast: starter}
  settings:
    qwen3:0.6b:
      context_length: 8192
      keep_alive: 1h30m
      pin: yes
      system: |
        You are brief.
        Always.
      temperature: 0
      stop: ["\\n\\n", END]
    other: {keep_alive: -1, stop: "a, b", top_k: 5, min_p: null, top_p: .9}
    nothing:
"""


def load(tmp_path: Path, text: str = "", **variables: str) -> Settings:
    (tmp_path / "config.yaml").write_text(text)
    return load_settings({}, {"MLX_SERVE_HOME": str(tmp_path), **variables})


def test_each_model_has_its_own_in_the_file(tmp_path: Path) -> None:
    """Every origin is the line of that very setting; what stands empty is not set."""
    settings = load(tmp_path, FILE)
    assert settings.models.settings == {
        "qwen3:0.6b": OneModel(
            context_length=8192,
            keep_alive=5400,
            pin=True,
            system="You are brief.\nAlways.\n",
            temperature=0,
            stop=("\n\n", "END"),
        ),
        "other": OneModel(keep_alive=-1, stop=("a, b",), top_k=5, top_p=0.9),
        "nothing": OneModel(),
    }
    origins = {key.removeprefix("models.settings."): origin for key, origin in settings.origins.items()}
    assert (origins["qwen3:0.6b.context_length"], origins["qwen3:0.6b.stop"]) == ("config.yaml:5", "config.yaml:12")
    assert origins["other.top_k"] == "config.yaml:13" and not any(key.startswith("nothing.") for key in origins)
    assert "qwen3:0.6b.seed" not in origins and "other.min_p" not in origins


def test_the_variable_is_json_and_comes_before_the_file(tmp_path: Path) -> None:
    given = json.dumps({"starter": {"temperature": 0.5, "pin": False, "stop": ["x"], "system": "", "seed": None}})
    settings = load(tmp_path, FILE, MLX_SERVE_MODELS_SETTINGS=given)
    assert settings.models.settings == {"starter": OneModel(temperature=0.5, stop=("x",), system="")}
    assert settings.origins["models.settings.starter.temperature"] == "MLX_SERVE_MODELS_SETTINGS"
    assert not any("qwen3" in key for key in settings.origins)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: {temperture: 1}", 3, "a.temperture is not a setting; did you mean temperature?"),
        ("a: {num_ctx: 4096}", 3, "a.num_ctx is not a setting; did you mean context_length?"),
        ("a: {repeat_penalty: 1}", 3, "a.repeat_penalty is not a setting; did you mean repetition_penalty?"),
        ("a:\n      temperature: 3", 4, "a.temperature must be a number between 0 and 2, not 3"),
        ("a: {context_length: 1}", 3, "a.context_length must be a whole number between 16 and 1073741824 tokens, not"),
        ("a: {keep_alive: 5 minutes}", 3, "a.keep_alive must be seconds, or a duration such as 30m or 1h30m, not"),
        ("a: {pin: perhaps}", 3, "a.pin must be true or false, not 'perhaps'"),
        ("a: {stop: [x, '']}", 3, "a.stop must be at most 16 texts of 1 to 1,024 characters"),
        ("a: {system: [x]}", 3, "a.system must be text, not ['x']"),
        ("a: 5", 3, "a must hold settings such as {temperature: 0.2}"),
        ("[a]", 3, "models.settings must be a mapping of models' names to their settings"),
        ("'': {pin: true}", 3, "'' is not a model's name"),
        ("a: {seed: 1}\n    a: {seed: 2}", 4, "a is given twice in models.settings"),
        ("a: {temperature: {b: 1}}", 3, "a.temperature must be a single value"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, f"models:\n  settings:\n    {text}\n")
    assert str(refused.value).startswith(f"{tmp_path / 'config.yaml'}:{line}: ") and words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=b", "as JSON: Expecting value"),
        ("[1]", "models.settings must be a mapping"),
        ('{"a": {"temperature": NaN}}', "NaN is not a number of JSON"),
        ('{"a": {"temperature": 1e999}}', "a.temperature must be a number between 0 and 2"),
        ('{"a": {}, "a": {}}', "a name is given twice"),
        ('{"a": {"seed": true}}', "a.seed must be a whole number"),
        ('{"a": {"system": "\\u0000"}}', "a.system must be text"),
        ("[" * 100_000, "as JSON: "),
    ],
)
def test_what_is_wrong_in_the_variable_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as refused:
        load(tmp_path, MLX_SERVE_MODELS_SETTINGS=text)
    assert str(refused.value).startswith("MLX_SERVE_MODELS_SETTINGS: models.settings")


def test_every_parameter_can_be_set_and_means_the_same_in_a_request() -> None:
    """Each end of each range is one that a request may send, and comes out of its options as it went in."""
    assert set(TABLE) <= set(SPECS) and set(OPTIONS) == set(SPECS) - {"keep_alive", "pin", "system"}
    for name in TABLE:
        for value in (SPECS[name].low, SPECS[name].high):
            made = defaults({"m": replace(OneModel(), **{name: value})})["m"]
            (sent,) = made.overrides.parameters.values()
            found = getattr(options(made.overrides.parameters).sampling, name)
            assert math.isclose(found, value, abs_tol=1e-5), f"{name} {value}: {sent} becomes {found}"
    made = defaults({"m": OneModel(max_tokens=1, context_length=16, thinking_budget=0, stop=("x",), seed=7)})["m"]
    found = options(made.overrides.parameters)
    assert (found.max_tokens, found.context_length, found.thinking_budget, found.stop) == (1, 16, 0, ("x",))
    assert found.sampling.seed == 7


def test_the_example_and_the_listings_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With every `#` taken away the example sets each of them for one model; `config` lists each on its own."""
    monkeypatch.setenv("MLX_SERVE_HOME", str(tmp_path))
    text = re.sub("^  # ", "  ", config_command.example(), flags=re.MULTILINE)
    settings = load(tmp_path, text.replace("~/.mlx-serve/models", str(tmp_path / "models")))
    assert set(settings.models.settings["starter"].given()) == set(SPECS)
    assert config_command.main([]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^models\.settings\.starter\.keep_alive = 1800.0 +\(config\.yaml:\d+\)$", listed, re.MULTILINE)
    assert config_command.main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["models"]["settings"]["starter"]["stop"] == ["END"]
    assert printed["origins"]["models.settings.starter.pin"].startswith("config.yaml:")


def test_a_reload_names_each_that_differs(tmp_path: Path) -> None:
    """Those of a model that is left out are none any more; their origins go with them."""
    started = load(tmp_path, FILE)
    found = load(tmp_path, FILE.replace("pin: yes", "seed: 3").replace("other: {", "another: {"))
    done = renew(started, started, found)
    changed = [key.removeprefix("models.settings.") for key in done.changed]
    assert changed[:2] == ["qwen3:0.6b.pin", "qwen3:0.6b.seed"]
    assert {"other.top_k", "another.top_k"} <= set(changed) and len(changed) == 10
    assert "models.settings.another.top_k" in done.settings.origins
    assert not any(".other." in key for key in done.settings.origins)


def test_the_file_of_the_contract_is_taken(tmp_path: Path) -> None:
    """Every key that is promised exists; drafts with other models are refused until there are some."""
    text = """\
server:  {host: 0.0.0.0, port: 8000, protected: true, api_keys: [], remote_management: false, allowed_hosts: [],
          cors_origins: [localhost], require_keys: remote, max_body_mb: 64, max_queue: 256, request_timeout_seconds: 0,
          drain_seconds: 30}
models:  {directory: ~/.mlx-serve/models, preload: [], auto_download: false, aliases: {}, memory_limit: auto,
          wired: auto, fetch_private_images: false}
cache:   {max_llm_models: 3, max_vlm_models: 1, max_embedding_models: 3, max_reranker_models: 2, ttl_seconds: 1800,
          prefix_cache_mb: auto, prefix_disk_mb: auto}
engine:  {max_batch: 32, prefill_tokens_per_step: 512, context_length: auto, speculation: auto, draft_models: {}}
logging: {level: INFO, format: json}
metrics: {enabled: true}
"""
    assert load(tmp_path, text).engine == load(tmp_path).engine
    with pytest.raises(ConfigError, match=r"config\.yaml:1: engine\.draft_models must be empty: this version"):
        load(tmp_path, "engine: {draft_models: {a: b}}\n")
