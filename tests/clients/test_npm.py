"""The npm packages `openai` and `ollama` against the real daemon, each once through what it can do."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from clients.conftest import KEY
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS

CALLS = [{"city": "Rome"}, {"city": "Oslo"}]


def told(name: str, folder: Path, daemon: LiveDaemon, locked: LiveDaemon) -> Any:
    """What the script found."""
    program = Path(__file__).with_name(f"{name}.mjs")
    done = subprocess.run(
        ["node", str(program), str(folder), daemon.url, locked.url, KEY],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_openai(folder: Path, daemon: LiveDaemon, locked: LiveDaemon) -> None:
    """Chat, its stream helper and its runner of tools, structured output, the Responses API with its stream helper,
    embeddings, the list, a stream that is left, and errors."""
    found = told("openai", folder, daemon, locked)
    assert (found["chat"], found["finish"], found["streamed"]) == (TEXTS["sentence"], "stop", TEXTS["sentence"])
    assert found["usage"]["total_tokens"] > 0
    assert (found["thought"].strip(), found["content"].strip()) == ("Let me see.", "The answer is 42.")
    assert (found["cities"], found["ran"]) == (["Rome", "Oslo"], TEXTS["sentence"])
    assert found["parsed"]["city"] == "Rome" and isinstance(found["parsed"]["days"], int)
    assert found["response"] == found["kept"] == TEXTS["sentence"] and found["called"] == CALLS
    assert len(set(found["vectors"])) == 1 and {"sentence", "starter-embed"} <= set(found["models"])
    assert found["unknown"] == {
        "kind": "NotFoundError",
        "status": 404,
        "param": "model",
        "code": "model_not_found",
    }
    assert (found["wrong"]["kind"], found["wrong"]["param"]) == ("BadRequestError", "temperature")
    assert found["long"]["code"] == "context_length_exceeded"
    assert found["key"]["kind"] == "AuthenticationError" and found["right"] is None
    daemon.wait_for_rest()


def test_ollama(folder: Path, daemon: LiveDaemon, locked: LiveDaemon) -> None:
    """Chat, thinking, tools, a format, generation, embeddings, the lists, a pull, a copy, a stream that is left, and
    errors."""
    found = told("ollama", folder, daemon, locked)
    assert (found["chat"], found["done"]) == (TEXTS["sentence"], [True, "stop", True])
    assert (found["thinking"].strip(), found["content"].strip()) == ("Let me see.", "The answer is 42.")
    assert [(call["name"], call["arguments"]) for call in found["called"]] == [("weather", each) for each in CALLS]
    assert found["ended"] == found["generated"] == TEXTS["sentence"]
    assert found["json"]["city"] == "Rome" and isinstance(found["json"]["days"], int)
    assert len(set(found["vectors"])) == 1 and {"sentence:latest", "starter-embed:latest"} <= set(found["listed"])
    assert {"completion", "tools"} <= set(found["capabilities"]) and found["running"]
    assert found["pulled"][-1] == "success" and found["copied"] and found["aborted"] == "AbortError"
    assert found["unknown"]["status"] == 404 and "not found" in found["unknown"]["said"]
    assert found["wrong"]["status"] == 400 and "top_p" in found["wrong"]["said"]
    assert found["key"]["status"] == 401 and found["right"] is None
    daemon.wait_for_rest()
