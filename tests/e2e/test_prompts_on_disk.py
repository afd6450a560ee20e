"""What a model has read outlives its process: an unload, a restart, a kill while it is written; `gc` sweeps it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reference.architectures import VOCABULARY
from reference.checkpoints import make
from support.live_daemon import LiveDaemon
from support.waiting import wait_until

from mlx_serve.daemon.prefix_folder import root

TOKENS = 1400
PROMPT = [3 + (number * number) % (VOCABULARY - 20) for number in range(TOKENS)]
BLOCKS = TOKENS // 256 * 256


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk") / "home"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with room for long prompts."""
    folder = make("llama", tmp_path_factory.mktemp("checkpoint")).folder
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"max_position_embeddings": 512', '"max_position_embeddings": 4096'))
    return folder


@pytest.fixture(scope="module")
def packing(home: Path) -> Iterator[LiveDaemon]:
    with LiveDaemon(home=home, cache_prefix_disk_mb=64, cache_prefix_bits=8) as running:
        yield running.ready()


def answer(daemon: LiveDaemon, prompt: list[int]) -> tuple[str, int]:
    document = daemon.complete("llama", prompt, max_tokens=8, temperature=0, ignore_eos=True).json
    return document["choices"][0]["text"], document["usage"]["prompt_tokens_details"]["cached_tokens"]


def row(daemon: LiveDaemon) -> dict[str, Any]:
    (found,) = daemon.control("GET", "/ps")["models"]
    return dict(found)


def files(home: Path) -> list[Path]:
    return sorted(root(home).glob("*/*"))


def test_a_prompt_outlives_its_process(home: Path, llama: Path) -> None:
    """After an unload, after the end of the daemon, and after a kill of the model's process: what was read is not read
    again, and the text is the same; operators see where it came from."""
    with LiveDaemon(home=home, cache_prefix_disk_mb=64) as first:
        first.ready()
        assert first.command("pull", str(llama)).returncode == 0
        text, none = answer(first, PROMPT)
        assert none == 0
        first.control("POST", "/unload", {"name": "llama"})
        assert answer(first, PROMPT) == (text, BLOCKS)
        assert first.stop() == 0
    assert {path.suffix for path in files(home)} == {".block"} and len(files(home)) == BLOCKS // 256 + 1
    with LiveDaemon(home=home, cache_prefix_disk_mb=64) as second:
        second.ready()
        assert answer(second, PROMPT) == (text, BLOCKS)
        assert second.gauge('model_prefix_disk_tokens_total{model="local/llama"}') == BLOCKS
        wait_until(lambda: row(second)["prefix_disk"] > 0, "the files are counted")
        killed = second.runner("local/llama")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in second.runners().values(), "the daemon knows that the process is gone")
        assert answer(second, PROMPT) == (text, BLOCKS)
        second.signal(signal.SIGKILL)
        second.ended()


def test_prompts_in_eight_bits_outlive_their_process(home: Path, packing: LiveDaemon) -> None:
    """Apart from the exact ones, in less space; the log and `show` say so."""
    exact = set(files(home))
    assert answer(packing, PROMPT)[1] == 0
    assert "in 8 bits" in packing.command("show", "llama").stdout
    packing.control("POST", "/unload", {"name": "llama"})
    packed = set(files(home)) - exact
    assert len(packed) == len(exact) and len({path.parent for path in (*packed, *exact)}) == 2
    sizes = [sum(path.stat().st_size for path in some) for some in (packed, exact)]
    assert sizes[0] < 0.4 * sizes[1]
    assert answer(packing, PROMPT)[1] == BLOCKS

    def told() -> list[str]:
        return [line for line in packing.log("log child") if "line=keep prompts on disk in 8 bits logits_most=" in line]

    wait_until(lambda: len(told()) == 2, "the log has a line for each load")


def test_gc_takes_prompts_of_models_that_are_gone(home: Path, packing: LiveDaemon) -> None:
    """And what the dead were writing; not those of a model that is installed."""
    daemon = packing
    folder, _ = sorted({path.parent for path in files(home)})
    (folder / "1-1.partial").write_bytes(b"half")
    before = len(files(home)) - 1
    assert daemon.control("POST", "/gc")["prompts"] == 0 and len(files(home)) == before
    assert daemon.command("remove", "llama").returncode == 0
    assert daemon.control("POST", "/gc", {"dry_run": True})["prompts"] == before
    done = daemon.command("gc")
    assert "of prompts that were read before" in done.stdout and files(home) == [] and not folder.exists()
