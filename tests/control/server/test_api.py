"""The admin routes, through a real Sanic app on a real socket."""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection
from types import SimpleNamespace

import pytest
from fakes.control_daemon import FakeDaemon
from fakes.store import DIGEST
from support.waiting import GUARD

from mlx_serve.control.cli.client import ApiError, Client, ConnectionBroken
from mlx_serve.control.server import api
from mlx_serve.control.socket import dial
from mlx_serve.store.errors import DamagedModel


def raw(daemon: FakeDaemon, method: str, target: str, body: bytes = b"") -> tuple[int, dict[str, object]]:
    """What any HTTP client gets: status and document."""
    connection = HTTPConnection("mlx-serve", timeout=GUARD)
    connection.sock = dial(daemon.path, GUARD)
    connection.request(method, target, body)
    response = connection.getresponse()
    document = json.loads(response.read())
    connection.close()
    assert response.headers["content-type"].split(";")[0] == "application/json"
    return response.status, document


def test_status_says_what_runs(daemon: FakeDaemon, client: Client) -> None:
    found = client.get("/control/v1/status")
    assert (found["version"], found["pid"], found["port"]) == ("0.4.2.dev1+g123", os.getpid(), daemon.port)
    assert found["url"] == f"http://127.0.0.1:{daemon.port}"
    assert found["socket"] == str(daemon.path)
    assert 3600 < found["uptime_seconds"] < 3800
    assert found["memory"]["daemon"] > 1 << 20 and daemon.residency.measured == 1
    assert (found["memory_pressure"], found["gpu_limit"]) == ("normal", None)
    assert found["queue"] == {"running": 0, "waiting": 0, "limit": 256}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
        ("10.0.0.1", "http://10.0.0.1:1"),
        ("localhost", "http://localhost:1"),
    ],
)
def test_url_can_be_called_from_this_machine(host: str, url: str) -> None:
    assert api.documents.url(host, 1) == url


def test_models_are_listed_shown_copied_and_removed(daemon: FakeDaemon, client: Client) -> None:
    list(client.stream("POST", "/control/v1/pull", {"source": "starter"}))
    [row] = client.get("/control/v1/models")["models"]
    assert (row["name"], row["kind"], row["size"]) == ("starter", "llm", 1_500_000)
    detail = client.get("/control/v1/models/mlx-serve%2Fstarter%3Alatest")
    assert detail["model"] == row
    assert [each["path"] for each in detail["files"]] == ["model.safetensors"]
    assert client.get("/control/v1/models/mlx-serve/starter") == detail
    assert client.post("/control/v1/copy", {"source": "starter", "destination": "b"})["name"] == "b"
    assert client.delete("/control/v1/models/b")["name"] == "b"
    assert len(client.get("/control/v1/models")["models"]) == 1


def test_removing_a_loaded_model_unloads_it(daemon: FakeDaemon, client: Client) -> None:
    list(client.stream("POST", "/control/v1/pull", {"source": "starter"}))
    digest = client.post("/control/v1/load", {"name": "starter"})["id"]
    client.delete("/control/v1/models/starter")
    assert daemon.residency.unloaded == ["mlx-serve/starter"]
    assert daemon.store.swept == [{digest}, set()]


def test_removing_one_of_two_names_leaves_the_model_loaded(daemon: FakeDaemon, client: Client) -> None:
    list(client.stream("POST", "/control/v1/pull", {"source": "starter"}))
    client.post("/control/v1/copy", {"source": "starter", "destination": "b"})
    client.post("/control/v1/load", {"name": "starter"})
    client.delete("/control/v1/models/b")
    assert daemon.residency.unloaded == []
    client.delete("/control/v1/models/starter")
    assert daemon.residency.unloaded == ["mlx-serve/starter"]


def test_load_ps_and_unload(daemon: FakeDaemon, client: Client) -> None:
    list(client.stream("POST", "/control/v1/pull", {"source": "starter"}))
    row = client.post("/control/v1/load", {"name": "starter", "keep_alive": -1})
    assert (row["backend"], row["expires_at"], row["context_length"]) == ("cpu", None, 4096)
    assert [each["name"] for each in client.get("/control/v1/ps")["models"]] == ["starter"]
    assert client.post("/control/v1/unload", {"name": "starter"}) == {"name": "starter", "unloaded": True}
    assert client.post("/control/v1/unload", {"name": "starter"})["unloaded"] is False


def test_pull_streams_its_progress_and_ends_with_the_model(daemon: FakeDaemon, client: Client) -> None:
    body = {"source": "/a/tiny", "type": "embedding", "name": "me/tiny", "revision": "r1"}
    *lines, last = client.stream("POST", "/control/v1/pull", body)
    assert lines[-1] == {
        "status": "stored",
        "path": "model.safetensors",
        "digest": DIGEST,
        "completed": 100_000,
        "total": 100_000,
    }
    assert last == {
        "status": "success",
        "name": "me/tiny",
        "id": daemon.store.find("me/tiny").digest,
        "size": 1_500_000,
    }
    assert daemon.store.pulls == ["/a/tiny"]
    assert daemon.store.options == [{"kind": "embedding", "name": "me/tiny", "revision": "r1", "token": None}]


def test_pull_stops_when_the_client_hangs_up(daemon: FakeDaemon, client: Client) -> None:
    """The work behind an endless pull ends by itself soon after its only listener has gone."""
    stream = client.stream("POST", "/control/v1/pull", {"source": "slow"})
    assert next(stream)["path"] == "model.safetensors"
    assert not daemon.store.ended.acquire(blocking=False)
    stream.close()
    assert daemon.store.ended.acquire(timeout=GUARD)


def test_slow_reader_of_a_fast_pull_costs_no_memory(client: Client) -> None:
    """Reports on one file replace each other while they wait: far fewer lines than reports arrive."""
    stream = client.stream("POST", "/control/v1/pull", {"source": "slow"})
    seen = [next(stream) for _ in range(4)]
    stream.close()
    assert {line["path"] for line in seen} <= {"model.safetensors", "endless.safetensors"}
    assert len([line for line in seen if line["path"] == "model.safetensors"]) < 4


def test_pull_that_fails_at_once_has_a_status_and_one_that_breaks_an_error_line(daemon: FakeDaemon) -> None:
    status, document = raw(daemon, "POST", "/control/v1/pull", b'{"source": "nothing"}')
    sentence = "there is no model at /home/somebody/secret/nothing"
    assert (status, document) == (400, {"error": {"message": sentence, "hint": "pull a built-in: starter"}})
    stream = Client(daemon.path, GUARD).stream("POST", "/control/v1/pull", {"source": "breaks"})
    with pytest.raises(ApiError, match="the folder went away") as caught:
        list(stream)
    assert caught.value.hint == "plug the disk in"


def test_verify_streams_each_file_and_counts_the_bad(daemon: FakeDaemon, client: Client) -> None:
    daemon.store.add("local/good", day=2)
    daemon.store.damaged[daemon.store.add("local/damaged").name.display()] = DamagedModel("a test")
    *lines, last = client.stream("POST", "/control/v1/verify", {})
    files = [line for line in lines if "ok" in line]
    assert {"status": "verifying", "completed": 15, "total": 20} in lines
    assert [(each["name"], each["ok"]) for each in files] == [("local/good", True), ("local/damaged", False)]
    assert last == {"status": "done", "files": 2, "bad": 1}


def test_gc_passes_dry_run_on(client: Client) -> None:
    assert client.post("/control/v1/gc", {"dry_run": True}) == {
        "blobs": 2,
        "bytes": 3_000_000,
        "partials": 1,
        "prompts": 0,
        "prompt_bytes": 0,
        "dry_run": True,
    }


def test_config_shows_origins_and_hides_keys(daemon: FakeDaemon, client: Client) -> None:
    from mlx_serve.daemon.settings.effective_settings import load_settings

    daemon.context.settings = load_settings(
        {}, {"MLX_SERVE_HOME": "/h", "MLX_SERVE_SERVER_API_KEYS": "open-sesame-open-sesame"}
    )
    found = client.get("/control/v1/config")
    assert "sesame" not in json.dumps(found)
    assert found["server"]["port"] == 8000
    assert found["origins"]["server.api_keys"] == "MLX_SERVE_SERVER_API_KEYS"
    assert found["origins"]["server.port"] == "default"


def test_the_key_is_given_to_the_command_that_starts_programs(daemon: FakeDaemon, client: Client) -> None:
    """The first one; null where none is set."""
    from mlx_serve.daemon.settings.effective_settings import load_settings

    assert client.get("/control/v1/key") == {"key": None}
    environ = {"MLX_SERVE_HOME": "/h", "MLX_SERVE_SERVER_API_KEYS": "open-sesame-open-sesame,another-key-of-ours"}
    daemon.context.settings = load_settings({}, environ)
    assert client.get("/control/v1/key") == {"key": "open-sesame-open-sesame"}


def test_logs_give_the_last_lines_and_follow(daemon: FakeDaemon, client: Client) -> None:
    log = daemon.home / "logs" / f"{daemon.port}.log"
    log.parent.mkdir()
    log.write_text("".join(f"line {number}\n" for number in range(5000)))
    assert [each["line"] for each in client.stream("GET", "/control/v1/logs?n=2")] == ["line 4998", "line 4999"]
    stream = client.stream("GET", "/control/v1/logs?n=1&follow=1")
    assert next(stream) == {"line": "line 4999"}
    with log.open("a") as file:
        file.write("new\nunfinish")
        file.flush()
        assert next(stream) == {"line": "new"}
        file.write("ed\n")
    assert next(stream) == {"line": "unfinished"}
    log.rename(log.with_suffix(".1"))
    log.write_text("rotated\n")
    assert next(stream) == {"line": "rotated"}
    daemon.context.draining = True
    assert list(stream) == []


def test_log_that_is_not_there_says_where_it_goes(daemon: FakeDaemon) -> None:
    status, document = raw(daemon, "GET", "/control/v1/logs")
    assert status == 404
    assert "terminal" in str(document)


def test_shutdown_answers_before_it_begins(daemon: FakeDaemon, client: Client) -> None:
    assert client.post("/control/v1/shutdown", {"force": True}) == {"status": "stopping", "pid": os.getpid()}
    assert daemon.asked_to_stop.wait(GUARD)
    assert daemon.shutdowns == [True]


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "words"),
    [
        ("GET", "models/nope", b"", 404, "not found"),
        ("GET", "models/..%2f..%2fetc", b"", 400, "not a valid model name"),
        ("POST", "load", b"{}", 400, "name"),
        ("POST", "load", b'{"name": 7}', 400, "$.name"),
        ("POST", "load", b'{"name": "a", "nam": 1}', 400, "nam"),
        ("POST", "pull", b'{"source": "x", "type": "gguf"}', 400, "gguf"),
        ("POST", "copy", b"[" * 100_000, 400, "body"),
        ("POST", "unload", b"no json", 400, "malformed"),
        ("GET", "logs?n=-1", b"", 400, "lines"),
        ("GET", "nowhere", b"", 404, "nowhere"),
        ("POST", "nowhere/at/all", b"{}", 404, "nowhere"),
    ],
)
def test_refusals_have_a_fitting_status_and_a_sentence(
    daemon: FakeDaemon, method: str, target: str, body: bytes, status: int, words: str
) -> None:
    found, document = raw(daemon, method, f"/control/v1/{target}", body)
    assert found == status
    assert isinstance(document["error"], dict)
    assert words in document["error"]["message"]


@pytest.mark.parametrize("name", ["starter", "acme%2Fnew", "qwen3:0.6b"])
def test_missing_model_that_could_be_pulled_is_marked_as_one(daemon: FakeDaemon, name: str) -> None:
    """So that `run starter` may pull it without guessing."""
    _, document = raw(daemon, "GET", f"/control/v1/models/{name}")
    assert document["error"]["pullable"] is True  # type: ignore[index]


def test_unforeseen_error_leaks_nothing(daemon: FakeDaemon, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    daemon.store.gc = broken  # type: ignore[method-assign,assignment]
    status, document = raw(daemon, "POST", "/control/v1/gc", b"{}")
    assert status == 500
    assert "secret" not in json.dumps(document)
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(("uid", "allowed"), [(None, True), (0, True), (os.getuid(), True), (4242, False)])
def test_only_the_owner_and_root_may_call(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, uid: int | None, allowed: bool
) -> None:
    """Public routes on the socket are behind the same check."""
    daemon.store.add("mlx-serve/starter")
    monkeypatch.setattr(api, "peer_uid", lambda connection: uid)
    assert (raw(daemon, "GET", "/control/v1/ps")[0] == 200) is allowed
    assert (raw(daemon, "POST", "/api/show", b'{"name": "starter"}')[0] == 200) is allowed


def test_connection_that_is_gone_is_nobodys() -> None:
    request = SimpleNamespace(transport=None)
    answer = api.check_peer(request)  # type: ignore[arg-type]
    assert answer is not None
    assert answer.status == 403


def test_client_tells_a_cut_stream_from_a_finished_one(daemon: FakeDaemon, client: Client) -> None:
    daemon.store.add("mlx-serve/starter")
    body = {"model": "starter", "messages": [{"role": "user", "content": "die"}]}
    with pytest.raises(ConnectionBroken):
        list(client.stream("POST", "/api/chat", body))
