"""Models that cannot be served: a clear error for whoever asks for them, and nothing for anybody else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.scripted_model import HELLO, write_scripted
from support.live_daemon import LiveDaemon, together

from mlx_serve.store.inspect import architectures, findings
from mlx_serve.store.store import Store


def variant(folder: Path, name: str, **changes: Any) -> Path:
    """A copy of a model folder with another config."""
    copy = folder.parent / name
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | changes))
    return copy


def blob(store: Path, model: str, file: str) -> Path:
    (layer,) = [layer for layer in Store.open(store).find(model).manifest.layers if layer.path == file]
    return store / "blobs" / layer.digest.replace(":", "-")


@pytest.fixture(scope="module")
def troubled(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """Sound models, and among them: weights cut short, weights of noise, a strange type, a type whose code ends the
    process, an embedding model, and one whose weights do not fit its config."""
    folder = write_scripted(tmp_path_factory.mktemp("broken") / "source")
    store = tmp_path_factory.mktemp("troubled") / "models"
    shutil.copytree(models, store, symlinks=True)
    opened = Store.open(store)
    for name in ("short", "noise", "gone"):
        # Each has weights of its own, or damage to one would be damage to all.
        copy = variant(folder, name)
        weights = (copy / "model.safetensors").read_bytes()
        (copy / "model.safetensors").write_bytes(weights[:-4] + name.encode()[:4].ljust(4))
        opened.pull(str(copy))
    with pytest.MonkeyPatch.context() as patch:
        # As if it had been pulled with another mlx-lm than the one that is here now.
        patch.setattr(architectures, "check", lambda model_type, kind: None)
        opened.pull(str(variant(folder, "strange", model_type="strange")), kind="llm")
    with pytest.MonkeyPatch.context() as patch:
        # As if it had been pulled before configs were compared with the weights.
        patch.setattr(findings, "check_layers", lambda config, tensors: None)
        opened.pull(str(variant(folder, "deeper", num_hidden_layers=3)), kind="llm")
    opened.pull(str(variant(folder, "olmo", model_type="olmo")), kind="llm")
    opened.pull(str(variant(folder, "vectors")), kind="embedding")
    for name in ("short", "noise"):
        path = blob(store, name, "model.safetensors")
        path.chmod(0o644)
        content = path.read_bytes()
        path.write_bytes(content[:1000] if name == "short" else b"\xff" * len(content))
    blob(store, "gone", "model.safetensors").unlink()
    with LiveDaemon(store) as daemon:
        yield daemon.ready()


@pytest.fixture(autouse=True)
def others_go_on(troubled: LiveDaemon) -> Iterator[None]:
    assert troubled.chat("scripted", "say H").text == HELLO.text
    pid = troubled.runner("local/scripted")
    yield
    assert troubled.chat("scripted", "say H").text == HELLO.text
    assert troubled.runners() == {"local/scripted": pid}, "no half-loaded model stays"
    assert troubled.get("/healthz").status == troubled.get("/readyz").status == 200
    troubled.wait_for_rest()


CASES = {
    "short": (500, "incomplete: model.safetensors has 1000 bytes"),
    "gone": (500, "incomplete: model.safetensors is missing"),
    "noise": (500, "damaged: model.safetensors has changed on disk"),
    "deeper": (500, "could not be loaded"),
    "strange": (400, "strange"),
    "olmo": (400, "olmo"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_broken_model_says_what_is_wrong_with_it(troubled: LiveDaemon, name: str) -> None:
    """The first time and the second, in both dialects, without a path of this machine."""
    status, word = CASES[name]
    first = troubled.chat(name, "say H")
    assert first.status in (status, 503) and word in first.error["message"], first.body
    message = first.error["message"]
    assert str(troubled.home) not in message and "Traceback" not in message
    second = troubled.post("/api/chat", model=name, messages=[{"role": "user", "content": "say H"}])
    assert second.status in (status, 503) and word in second.error, second.body
    if second.status == 503:
        assert int(second.headers["retry-after"]) >= 1


def test_everybody_who_waits_for_a_broken_model_gets_the_same_error(troubled: LiveDaemon) -> None:
    store = troubled.home / "models"
    shutil.copytree(store / "refs" / "local" / "noise", store / "refs" / "local" / "noisy")
    answers = together([lambda: troubled.chat("noisy", "say H")] * 8)
    assert len({answer.error["message"] for answer in answers}) == 1
    assert {answer.status for answer in answers} <= {500, 503}


def test_a_model_of_another_kind_is_refused_without_loading_it(troubled: LiveDaemon) -> None:
    for path in ("/v1/chat/completions", "/v1/completions", "/api/chat", "/api/generate"):
        answer = troubled.post(path, model="vectors", messages=[{"role": "user", "content": "x"}], prompt="x")
        message = answer.error if isinstance(answer.error, str) else answer.error["message"]
        assert answer.status == 400 and "does not support" in message, answer.body
    assert not any("vectors" in line for line in troubled.log("load model"))


def test_broken_models_are_listed_and_shown(troubled: LiveDaemon) -> None:
    names = {model["id"] for model in troubled.get("/v1/models").json["data"]}
    assert {*CASES, "vectors", "scripted"} <= names
    assert troubled.post("/api/show", model="strange").status == 200


def test_verify_finds_the_damage(troubled: LiveDaemon) -> None:
    done = troubled.command("verify", "noise")
    assert done.returncode == 1 and "model.safetensors" in done.stdout + done.stderr
    assert troubled.command("verify", "scripted").returncode == 0
