"""A daemon of a check's own: a short home of its own, a free port on this machine, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "mlx_serve")
WORDS = ("river", "engine", "yellow", "before", "twelve", "window", "careful", "music", "between", "paper", "silent")


class TrialFailed(Exception):
    """A sentence for the report."""


@dataclass(frozen=True)
class Streamed:
    """One streamed answer; times in seconds from the request's start."""

    prompt_tokens: int
    tokens: int
    first: float
    total: float

    @property
    def rate(self) -> float:
        """Tokens a second after the first."""
        return (self.tokens - 1) / max(self.total - self.first, 1e-9)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def words(count: int, seed: int) -> str:
    """A prompt of so many words that no other seed begins like."""
    return " ".join([f"{seed}:", *(WORDS[(seed * 7 + n * n) % len(WORDS)] for n in range(count)), "Go on."])


class Trial:
    """`with Trial() as trial:`; of the user's settings it takes those of `models`, such as MLX_SERVE_MODELS_WIRED."""

    def __init__(self, **environ: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="mlxs-", dir="/tmp")).resolve()
        self.port = free_port()
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("MLX_SERVE_")}
        self.environ |= {name: value for name, value in os.environ.items() if name.startswith("MLX_SERVE_MODELS_")}
        self.environ |= {"MLX_SERVE_HOME": str(self.home)} | environ

    def __enter__(self) -> Trial:
        try:
            self.command("start", "--host", "127.0.0.1", "--port", str(self.port))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        subprocess.run([*COMMAND, "stop", "--force", "--all"], env=self.environ, capture_output=True, check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def command(self, *arguments: str, seconds: float = 3600) -> str:
        """What `mlx-serve` prints. TrialFailed with its error."""
        done = subprocess.run(
            [*COMMAND, *arguments], env=self.environ, capture_output=True, text=True, timeout=seconds, check=False
        )
        if done.returncode != 0:
            raise TrialFailed(f"mlx-serve {' '.join(arguments)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("status", "--port", str(self.port), "--json"))
        return found

    @property
    def pid(self) -> int:
        return int(self.status()["pid"])

    def pull(self, wanted: str) -> str:
        """The model that can be had: the wanted one, else the built-in one, and a line that says so."""
        if wanted != "starter":
            try:
                self.command("pull", wanted, "--port", str(self.port))
                return wanted
            except TrialFailed as error:
                print(f"{error}; going on with the built-in model, which shows little about speed")
        self.command("pull", "starter", "--port", str(self.port))
        return "starter"

    def context(self, model: str) -> int:
        """The longest context of a model, in tokens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/api/show", json.dumps({"model": model}), {"Content-Type": "application/json"})
        info = json.loads(connection.getresponse().read())["model_info"]
        connection.close()
        return int(next(value for name, value in info.items() if name.endswith(".context_length")))

    def stream(self, model: str, prompt: str, tokens: int, *, leave_after: int = 0) -> Streamed | None:
        """One streamed completion; None when it was left after so many pieces. TrialFailed when it breaks off."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        body = {"model": model, "prompt": prompt, "max_tokens": tokens, "stream": True, "temperature": 0}
        body |= {"stream_options": {"include_usage": True}, "ignore_eos": True}
        began = time.monotonic()
        first, usage, pieces, ended = 0.0, {}, 0, False
        try:
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise TrialFailed(f"status {answer.status}: {answer.read().decode(errors='replace')[:300]}")
            for line in answer:
                if not line.startswith(b"data: "):
                    continue
                if line.strip() == b"data: [DONE]":
                    ended = True
                    break
                event = json.loads(line[6:])
                if "error" in event:
                    raise TrialFailed(str(event["error"]["message"]))
                usage = event.get("usage") or usage
                if any(choice.get("text") for choice in event["choices"]):
                    first = first or time.monotonic() - began
                    pieces += 1
                    if leave_after and pieces >= leave_after:
                        return None
        except (OSError, http.client.HTTPException) as error:
            raise TrialFailed(f"the connection broke: {error!r}") from error
        finally:
            connection.close()
        if not ended or not usage:
            raise TrialFailed("the stream ended too early")
        return Streamed(usage["prompt_tokens"], usage["completion_tokens"], first, time.monotonic() - began)

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in (self.home / "logs").glob("*.log"))

    def complaints(self) -> list[str]:
        """Lines of the log about something that went wrong."""
        return [line for line in self.log().splitlines() if re.search(r'"level": ?"(ERROR|CRITICAL)"|fail audit', line)]
