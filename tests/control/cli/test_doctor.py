"""`mlx-serve doctor`: each thing that can be wrong, given as facts, is found with its remedy; and the real looks."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.control_daemon import FakeDaemon, Run
from support.ports import free_port

from mlx_serve.control.cli.doctor import access, memory_limits, mlx_build, model_store, path_programs, running_daemon
from mlx_serve.control.cli.doctor.access import Access, Shared
from mlx_serve.control.cli.doctor.finding import Finding
from mlx_serve.control.cli.doctor.memory_limits import Limits
from mlx_serve.control.cli.doctor.metal_library import UnreadableLibrary, functions, tensor_kernels
from mlx_serve.control.cli.doctor.mlx_build import Build
from mlx_serve.control.cli.doctor.model_store import StoreFolder
from mlx_serve.control.cli.doctor.path_programs import Program, Programs
from mlx_serve.control.cli.doctor.running_daemon import Running
from mlx_serve.store.disk.layout import VERSION
from mlx_serve.store.store import Store

GB = 1_000_000_000
METAL = {"backend": "metal", "device": "Apple M5", "memory": 1, "blas": None}
CPU = {"backend": "cpu", "device": "some CPU", "memory": 1, "blas": None}
SERVER = {"host": "127.0.0.1", "api_keys": [], "protected": True, "remote_management": False}
STATUS = {"version": "1", "url": "http://127.0.0.1:1", "pid": 1, "draining": False}


def build(**more: Any) -> Build:
    mac = {"tag": "macosx_26_0_arm64", "macos": "26.2", "chip": "Apple M5 Pro", "library": "/l", "kernels": 1510}
    return Build(**{"versions": {"mlx": "0.32.4"}, "probe": METAL, **mac, **more})


def store(**more: Any) -> StoreFolder:
    return StoreFolder(
        **{"directory": "/m", "owner": 1, "user": 1, "version": "1", "free": 99 * GB, "total": 100 * GB, **more}
    )


def settings(**more: Any) -> dict[str, Any]:
    return {"file": None, "server": SERVER | more}


def home(given: dict[str, Any] | None = None, **more: Any) -> Access:
    return Access(**{"home": "/h", "settings": given or settings(), "owner": 1, "user": 1, **more})


def running(**more: Any) -> Running:
    return Running(**{"home": "/h", "host": "127.0.0.1", "port": 1, "version": "1", "status": STATUS, **more})


def programs(*found: Program, own: str | None = "/o/mlx-serve") -> Programs:
    return Programs(found, own, "1")


OURS, OTHER = Program("/o/mlx-serve", "mlx-serve 1", True), Program("/x/mlx-serve", "server 7", False)
JUDGES: dict[type, Any] = {
    Build: mlx_build.judge,
    Limits: memory_limits.judge,
    Programs: path_programs.judge,
    Access: access.judge,
    StoreFolder: model_store.judge,
    Running: running_daemon.judge,
}
WRONG = [
    ("problem machine", build(unfit="MLX needs a Mac with Apple silicon"), "Apple silicon", "wheels"),
    ("problem mlx", build(versions={}), "not installed", "pip install"),
    ("problem mlx", build(probe=None, failure="ImportError: no"), "ImportError: no", "--force-reinstall"),
    ("problem wheel", build(macos="15.4"), "for macOS 26 and newer", "pip install"),
    ("note wheel", build(tag="macosx_15_0_arm64"), "for macOS 15 (macosx_15_0_arm64)", "pip install"),
    ("warning kernels", build(kernels=0), "no kernels for the neural accelerators of Apple M5 Pro", "not Homebrew's"),
    ("warning kernels", build(macos="26.1"), "from macOS 26.2, and this is 26.1", "update macOS"),
    ("warning kernels", build(kernels=None, unreadable="/l is not a Metal library"), "not a Metal library", "pip"),
    ("warning device", build(probe=CPU), "on the CPU of this Mac", "virtual machine"),
    ("warning device", build(macos=None, kernels=None, probe=CPU, nvidia=True), "NVIDIA GPU", "mlx[cuda13]"),
    (
        "warning blas",
        build(macos=None, kernels=None, probe=CPU | {"blas": "none found: install it"}),
        "none",
        "install it",
    ),
    ("warning wired limit", Limits(64 * GB, wired=62 * GB, pressure=1), "62 GB of 64 GB", "sysctl iogpu"),
    ("warning memory", Limits(64 * GB, wired=0, pressure=2), "short of memory (warning)", "unload"),
    ("warning memory", Limits(64 * GB, 1 * GB), "1.0 GB of 64 GB are available", "unload"),
    ("note memory", Limits(64 * GB, 32 * GB, group=8 * GB), "this container may use 8.0 GB", "give it more"),
    (
        "warning PATH",
        programs(OTHER, OURS),
        "/x/mlx-serve is another program (server 7), and a shell finds",
        "/o first",
    ),
    ("note PATH", programs(OURS, OTHER), "/x/mlx-serve is another program", "second"),
    ("warning PATH", programs(Program("/x/mlx-serve", "mlx-serve 0", False)), "mlx-serve 0, and this is", "remove it"),
    ("note PATH", programs(), "no mlx-serve is on PATH", "add /o to PATH"),
    ("problem home", home(owner=2), "belongs to another user", "MLX_SERVE_HOME"),
    ("problem home", home(writable=False), "cannot be written", "chmod"),
    (
        "warning rights",
        home(shared=(Shared("/h/logs", True, False),)),
        "others can read /h/logs",
        "chmod go-rwx /h/logs",
    ),
    ("warning rights", home(shared=(Shared("/h", True, True),)), "others can change /h", "chmod go-w /h"),
    ("problem settings", home(refused="config.yaml:3: no", settings=None), "config.yaml:3: no", "config --example"),
    ("note keys", home(settings(host="0.0.0.0")), "are refused, for there is no API key", "server.api_keys"),
    ("warning keys", home(settings(host="0.0.0.0", protected=False)), "everyone who reaches 0.0.0.0", "protected true"),
    ("note keys", home(settings(host="::", api_keys=["***"], remote_management=True)), "may pull", "remote_management"),
    ("problem store", store(is_folder=False), "is not a folder", "MLX_SERVE_MODELS_DIR"),
    ("problem store", store(owner=2), "belongs to another user", "MLX_SERVE_MODELS_DIR"),
    ("problem store", store(owner=None, writable=False), "cannot be made", "MLX_SERVE_MODELS_DIR"),
    (
        "problem store",
        store(version=None, others=("a", "b")),
        "not a store of this mlx-serve: it holds a, b",
        "MLX_SERVE_HOME",
    ),
    ("problem store", store(version="2"), "of version '2'", "upgrade"),
    ("warning store", store(open_to_others=True), "others may write", "chmod go-w /m"),
    ("note store", store(writable=False), "read-only", "MLX_SERVE_MODELS_DIR"),
    ("warning disk", store(free=9 * GB), "9.0 GB of 100 GB are free", "mlx-serve gc"),
    ("problem disk", store(free=GB // 2), "500 MB of 100 GB are free", "mlx-serve gc"),
    ("problem socket", running(folder="/r belongs to another user"), "another user", "MLX_SERVE_HOME"),
    ("note socket", running(status=None, stale="/r/1.sock"), "is left of a daemon", "nothing"),
    (
        "problem port",
        running(status=None, bind="another program has it"),
        "port 1 of 127.0.0.1 cannot be had",
        "--port N",
    ),
    ("problem port", running(answers=False), "another program answers at http://127.0.0.1:1", "--port N"),
    ("problem port", running(answers=None), "nobody answers", "--port N"),
    ("problem daemon", running(status=None, silent="timed out"), "does not answer: timed out", "stop --force"),
    ("warning daemon", running(status=STATUS | {"version": "0"}), "is version 0", "mlx-serve start"),
    ("note daemon", running(status=STATUS | {"draining": True}), "is stopping", "mlx-serve start"),
    ("warning model", running(quarantined=(("m", "it dies"),)), "m has failed repeatedly", "mlx-serve verify m"),
    (
        "warning settings",
        running(ineffective=(("m", "has no effect: not found"),)),
        "models.settings.m has no effect: not found",
        "config --reload",
    ),
]
RIGHT = [
    build(),
    build(tag="macosx_14_0_arm64", macos="15.1", chip="Apple M2", kernels=0),
    build(macos=None, chip=None, kernels=None, probe=CPU),
    Limits(64 * GB, wired=48 * GB, pressure=1),
    Limits(64 * GB, 32 * GB, group=64 * GB),
    programs(OURS),
    home(),
    home(settings(host="0.0.0.0", api_keys=["***"])),
    home(shared=(Shared("/h/config.yaml", True, False),)),
    store(),
    store(owner=None, version=None),
    running(),
    running(status=None),
]


@pytest.mark.parametrize(("kind", "facts", "says", "remedy"), WRONG)
def test_what_is_wrong_is_found_with_its_remedy(kind: str, facts: Any, says: str, remedy: str) -> None:
    found: list[Finding] = JUDGES[type(facts)](facts)
    matching = [each for each in found if f"{each.level} {each.subject}" == kind and says in each.text]
    assert len(matching) == 1 and remedy in (matching[0].remedy or ""), found


@pytest.mark.parametrize("facts", RIGHT)
def test_where_all_is_well_nothing_is_found(facts: Any) -> None:
    assert {each.level for each in JUDGES[type(facts)](facts)} == {"ok"}


@pytest.mark.parametrize("facts", [facts for _, facts, _, _ in WRONG] + RIGHT)
def test_everything_but_what_is_well_has_a_remedy(facts: Any) -> None:
    for each in JUDGES[type(facts)](facts):
        assert bool(each.remedy) == (each.level != "ok"), each


def metal_library(path: Path, *names: str) -> Path:
    """As MLX's file is laid out: other tags before and after the names."""
    entries = b""
    for name in names:
        text = name.encode() + b"\0"
        tags = b"NAME" + struct.pack("<H", len(text)) + text + b"TYPE" + struct.pack("<H", 1) + b"\x02" + b"ENDT"
        entries += struct.pack("<I", len(tags) + 4) + tags
    listed = struct.pack("<I", len(names)) + entries
    path.write_bytes(b"MTLB" + bytes(20) + struct.pack("<QQ", 88, len(listed)) + bytes(48) + listed)
    return path


def test_kernels_are_counted_by_their_names(tmp_path: Path) -> None:
    path = metal_library(tmp_path / "l", "affine_qmm_n_nax_float_gs_128", "steel_gemm_fused_nt_float", "v_naxos")
    assert functions(path) == ["affine_qmm_n_nax_float_gs_128", "steel_gemm_fused_nt_float", "v_naxos"]
    assert tensor_kernels(functions(path)) == 1


def test_a_damaged_library_is_said_to_be_one(tmp_path: Path) -> None:
    """Cut at every length, and with a list that is not one."""
    whole = metal_library(tmp_path / "l", "a_nax", "b").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(UnreadableLibrary):
            functions(tmp_path / "cut")
    (tmp_path / "cut").write_bytes(b"PK" + whole)
    with pytest.raises(UnreadableLibrary, match="is not a Metal library"):
        functions(tmp_path / "cut")


def test_the_store_that_is_looked_for_is_the_one_that_is_made(tmp_path: Path) -> None:
    """A new store, a folder of somebody else's, and one that is not there."""
    assert str(VERSION) == model_store.VERSION
    Store.open(tmp_path / "store")
    assert model_store.look(tmp_path / "store").version == str(VERSION)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "photo.jpg").touch()
    assert model_store.look(tmp_path / "else").others == ("photo.jpg",)
    missing = model_store.look(tmp_path / "no" / "where")
    assert missing.owner is None and missing.writable and missing.free > 0


def test_programs_on_path_are_asked_for_their_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to one that was seen is not another one; one that fails has no version."""
    for name, code in (("a", "echo 'server 7'"), ("b", "exit 3")):
        program = tmp_path / name / "mlx-serve"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{code}\n")
        program.chmod(0o755)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mlx-serve").symlink_to(tmp_path / "a" / "mlx-serve")
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in "acb"))
    found = path_programs.look("1").found
    assert [(each.version, each.ours) for each in found] == [("server 7", False), ("", False)]


def test_a_taken_port_is_found(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = running_daemon.look(tmp_path, tmp_path / "no.sock", "127.0.0.1", port, "1")
        assert found.bind == "another program has it"
    assert running_daemon.look(tmp_path, tmp_path / "no.sock", "127.0.0.1", free_port(), "1").bind is None


def test_a_daemon_that_runs_is_asked(daemon: FakeDaemon) -> None:
    """The fake one listens on its socket alone, which is found out."""
    found = running_daemon.look(daemon.home, daemon.path, "127.0.0.1", daemon.port, "1")
    assert found.status is not None and found.status["port"] == daemon.port and found.answers is None
    assert found.ineffective == ()
    daemon.store.unmatched = lambda: {"m": "not found"}  # type: ignore[method-assign]
    assert running_daemon.look(daemon.home, daemon.path, "127.0.0.1", daemon.port, "1").ineffective == (
        ("m", "has no effect: not found"),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="rights are looked at as they are on Linux here")
def test_rights_of_the_home_are_looked_at(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "logs").mkdir(mode=0o755)
    (tmp_path / "config.yaml").touch(mode=0o600)
    found = access.look(tmp_path, settings(), None)
    assert [(Path(each.path).name, each.readable, each.writable) for each in found.shared] == [
        (tmp_path.name, False, True),
        ("logs", True, False),
    ]


def test_the_whole_on_this_machine(home: Path, run: Run, environment: dict[str, str]) -> None:
    """MLX computes, every subject is there, nothing is started or made; refused settings do not end it."""
    environment["MLX_SERVE_PORT"] = str(free_port())
    environment["MLX_SERVE_HOST"] = "127.0.0.1"
    done = run("doctor", "--json")
    found = json.loads(done.stdout)
    by_subject = {each["subject"]: each for each in found["findings"]}
    assert {"mlx", "memory", "PATH", "home", "settings", "keys", "store", "disk", "port"} <= set(by_subject)
    assert by_subject["mlx"]["level"] == "ok" and "computes on" in by_subject["mlx"]["text"]
    assert done.returncode == (1 if found["counts"]["problem"] else 0)
    assert not list(home.iterdir())
    (home / "config.yaml").write_text("server: {prot: 1}\n")
    refused = run("doctor")
    assert refused.returncode == 1 and "problem  settings: " in refused.stdout and "prot" in refused.stdout
    assert "internal error" not in refused.stderr
