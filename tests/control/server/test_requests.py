"""The requests under way, as the control API and the command show them, and how both end one."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.control_daemon import FakeDaemon, Run
from support.waiting import GUARD, wait_until

from mlx_serve.control.cli.client import ApiError, Client

ENDLESS = {"model": "tiny", "messages": [{"role": "user", "content": "endless"}]}
SENTENCE = "the request was cancelled by the operator of this server"


def chat(daemon: FakeDaemon) -> str:
    """An answer without an end, to its end: the error."""
    daemon.store.add("tiny")
    with pytest.raises(ApiError) as ended:
        for _ in Client(daemon.path, timeout=GUARD).stream("POST", "/api/chat", ENDLESS):
            pass
    return str(ended.value)


def test_a_request_is_listed_and_cancelled(daemon: FakeDaemon, client: Client) -> None:
    assert client.get("/control/v1/requests") == {"requests": []}
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(chat, daemon)
        (row,) = wait_until(lambda: [row for row in rows(client) if row["state"] == "decoding"], "it is decoding")
        assert (row["endpoint"], row["model"], row["client"]) == ("/api/chat", "local/tiny", "")
        assert row["prompt_tokens"] == 26 and row["generated_tokens"] == 1 and 0 <= row["age"] < GUARD
        assert client.get("/control/v1/ps")["requests"][0]["id"] == row["id"]
        path = f"/control/v1/requests/{row['id']}"
        assert client.delete(path) == {"id": row["id"], "cancelled": 1}
        assert told.result(GUARD) == SENTENCE
    wait_until(lambda: not rows(client), "it is gone from the list")
    with pytest.raises(ApiError, match="no request with the id") as unknown:
        client.delete(path)
    assert (unknown.value.status, unknown.value.hint) == (404, "`mlx-serve ps` lists those that are")


def test_how_far_a_prompt_is_read_is_shown(daemon: FakeDaemon, client: Client, run: Run) -> None:
    """In the control API, in `ps` beside the state, and all of it once there is an answer."""
    daemon.store.add("tiny")
    body = {"model": "tiny", "messages": [{"role": "user", "content": "half"}]}
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(lambda: list(Client(daemon.path, timeout=GUARD).stream("POST", "/api/chat", body)))
        (row,) = wait_until(lambda: [row for row in rows(client) if row["read_tokens"]], "a part is read")
        assert (row["state"], row["read_tokens"], row["prompt_tokens"]) == ("prefilling", 13, 26)
        assert " prefilling 50% " in run("ps").stdout
        daemon.read.set()
        assert answered.result(GUARD)[-1]["done"]


def rows(client: Client) -> list[dict[str, object]]:
    return list(client.get("/control/v1/requests")["requests"])


def test_the_command_shows_and_cancels(daemon: FakeDaemon, client: Client, run: Run) -> None:
    """Every id is tried; one that is not there makes the command fail, and its sentence says where to look."""
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(chat, daemon)
        wait_until(lambda: [row for row in rows(client) if row["state"] == "decoding"], "it is decoding")
        lines = run("ps").stdout.splitlines()
        header, row = (line.split() for line in lines[-2:])
        assert (header[0], row[1:3]) == ("REQUEST", ["/api/chat", "local/tiny"]) and "decoding" in row
        assert json.loads(run("ps", "--json").stdout)["requests"][0]["id"] == row[0]
        done = run("cancel", "nothing", row[0])
        assert (done.returncode, done.stdout) == (1, f"cancelled {row[0]}\n")
        sentence = (
            "mlx-serve: no request with the id 'nothing' is running or queued; `mlx-serve ps` lists those that are"
        )
        assert done.stderr == sentence + "\n"
        assert told.result(GUARD) == SENTENCE
