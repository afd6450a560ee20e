"""A model whose caches cannot be cut goes on from whole turns that outlive its process; `gc` sweeps them."""

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
from support.uncut_models import write_uncut
from support.waiting import wait_until

from mlx_serve.daemon.prefix_folder import root

NAMES = ["llama4", "deepseek_v41"]
TOKENS = 1400
PROMPT = [3 + (number * number) % (VOCABULARY - 20) for number in range(TOKENS)]
SHORT = PROMPT[:900]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("turns") / "home"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp(name) for name in NAMES}
    found = {}
    for name, folder in made.items():
        found[name] = make("llama", folder).folder.rename(folder / name)
        write_uncut(name, found[name], context=4096)
    return found


@pytest.fixture(scope="module")
def expected(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What each says where nothing is kept."""
    with LiveDaemon(home=tmp_path_factory.mktemp("plain") / "home", cache_prefix_cache_mb=0) as plain:
        plain.ready()
        for folder in folders.values():
            assert plain.command("pull", str(folder)).returncode == 0
        yield {name: answer(plain, name, PROMPT)[0] for name in NAMES}


def answer(daemon: LiveDaemon, name: str, prompt: list[int]) -> tuple[str, int]:
    document = daemon.complete(name, prompt, max_tokens=8, temperature=0, ignore_eos=True).json
    return document["choices"][0]["text"], document["usage"]["prompt_tokens_details"]["cached_tokens"]


def row(daemon: LiveDaemon, name: str) -> dict[str, Any]:
    (found,) = [one for one in daemon.control("GET", "/ps")["models"] if one["name"].endswith(name)]
    return dict(found)


def files(home: Path) -> list[Path]:
    return sorted(root(home).glob("*/*"))


@pytest.mark.parametrize("name", NAMES)
def test_a_turn_outlives_its_process(name: str, home: Path, folders: dict[str, Path], expected: dict[str, str]) -> None:
    """From memory, after an unload, after the end of the daemon, after a kill of the model's process and of the daemon:
    what was read is not read again, and the text is the one of a daemon that keeps nothing; operators see it."""
    known = (expected[name], TOKENS - 1)
    before = set(files(home))
    with LiveDaemon(home=home, cache_prefix_disk_mb=64, cache_prefix_bits=8) as first:
        first.ready()
        assert first.command("pull", str(folders[name])).returncode == 0
        assert answer(first, name, SHORT)[1] == 0
        assert answer(first, name, PROMPT) == (expected[name], len(SHORT) - 1)
        assert answer(first, name, PROMPT) == known
        first.control("POST", "/unload", {"name": name})
        assert answer(first, name, PROMPT) == known
        assert first.gauge(f'model_prefix_disk_tokens_total{{model="local/{name}"}}') == TOKENS - 1
        shown = first.command("show", name).stdout
        assert "go on from the end of a prompt or an answer" in shown and "8 bits" not in shown
        assert first.stop() == 0
    new = set(files(home)) - before
    assert sorted(path.name.partition("-")[2] for path in new) == [f"{TOKENS - 1}.end", f"{TOKENS + 7}.end"]
    assert {path.stat().st_mode & 0o777 for path in new} == {0o600}
    with LiveDaemon(home=home, cache_prefix_disk_mb=64) as second:
        second.ready()
        assert answer(second, name, PROMPT) == known
        size = sum(path.stat().st_size for path in new)
        wait_until(lambda: row(second, name)["prefix_disk"] == size, "the files are counted")
        assert second.gauge(f'model_prefix_disk_bytes{{model="local/{name}"}}') == size
        killed = second.runner(f"local/{name}")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in second.runners().values(), "the daemon knows that the process is gone")
        assert answer(second, name, PROMPT) == known
        second.signal(signal.SIGKILL)
        second.ended()
    for path in new:
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.write_bytes(content)
    with LiveDaemon(home=home, cache_prefix_disk_mb=64) as third:
        third.ready()
        assert answer(third, name, PROMPT) == (expected[name], 0)


def test_gc_takes_turns_of_models_that_are_gone(home: Path) -> None:
    """And leaves those of a model that is installed."""
    before = files(home)
    assert before
    with LiveDaemon(home=home, cache_prefix_disk_mb=64) as daemon:
        daemon.ready()
        assert daemon.control("POST", "/gc")["prompts"] == 0 and files(home) == before
        assert daemon.command("remove", "llama4").returncode == 0
        gone = daemon.control("POST", "/gc")["prompts"]
        assert 0 < gone < len(before) and len(files(home)) == len(before) - gone
