"""`pull --quantize`: from the hub to a quantized model that answers, with the real job."""

from __future__ import annotations

import json
from pathlib import Path

from e2e.conftest import StartPulling
from e2e.pulling_daemon import model
from e2e.scripted_model import HELLO, write_scripted
from fakes.hub.server import Hub


def test_a_model_is_fetched_quantized_and_answers(start_pulling: StartPulling, hub: Hub, tmp_path: Path) -> None:
    """The full model goes, the files that both share stay, and a second time nothing is fetched."""
    repository = hub.add_folder("acme/spoken", write_scripted(tmp_path / "spoken"))
    pulling = start_pulling()
    done = pulling.command("pull", "acme/spoken", "--quantize", "4")
    assert done.returncode == 0 and done.stdout.startswith("pulled acme/spoken-4bit ("), done
    assert pulling.names() == {"acme/spoken-4bit"}
    shown = json.loads(pulling.command("show", "acme/spoken-4bit", "--json").stdout)
    assert shown["revision"] == repository.head.id and shown["parent"] is not None
    assert pulling.stored(
        {path: bytes(f.content.read(0, f.content.size)) for path, f in repository.head.files.items()}
    ) == {
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert pulling.daemon.chat("acme/spoken-4bit", HELLO.name).text == HELLO.text
    (loaded,) = json.loads(pulling.command("ps", "--json").stdout)["models"]
    if loaded["backend"] == "cpu":  # where packed weights are unpacked at load, and `ps` says so
        assert loaded["precision"] == "float32"
        assert "cpu float32" in pulling.command("ps").stdout
    assert pulling.complete()


def test_what_cannot_be_quantized_is_refused_before_a_byte_is_fetched(start_pulling: StartPulling, hub: Hub) -> None:
    repository = hub.add("acme/odd", model(50_000, seed=95))
    pulling = start_pulling()
    done = pulling.command("pull", "acme/odd", "--quantize", "7")
    assert done.returncode in (1, 2) and "7" in done.stderr, done
    assert not pulling.bodies(repository) and pulling.names() == set()
