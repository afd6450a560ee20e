"""Where the control socket is and who may be at either end of it."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlx_serve.control import socket as control


def test_socket_lies_in_the_homes_run_folder(home: Path) -> None:
    assert control.socket_path(home, 8000) == home / "run" / "8000.sock"
    assert control.log_path(home, 8000) == home / "logs" / "8000.log"


def test_bound_socket_is_private_without_a_moment_of_being_otherwise(home: Path) -> None:
    """0600 in 0700 comes from the umask, which is restored."""
    before = os.umask(0o022)
    try:
        with control.bind(control.socket_path(home / "new", 1)):
            path = control.socket_path(home / "new", 1)
            assert stat.S_IMODE(path.lstat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_live_socket_is_never_replaced(home: Path) -> None:
    path = control.socket_path(home, 1)
    with control.bind(path):
        inode = path.stat().st_ino
        with pytest.raises(control.SocketInUse) as caught:
            control.bind(path)
        assert path.stat().st_ino == inode
        if sys.platform in ("linux", "darwin"):
            assert caught.value.pid == os.getpid()
        assert "already running" in str(caught.value)


def test_stale_socket_is_replaced(home: Path) -> None:
    """What a killed daemon leaves behind does not block the next one."""
    path = control.socket_path(home, 1)
    control.bind(path).close()
    assert path.exists()
    assert not control.alive(path)
    with control.bind(path):
        assert control.alive(path)


def test_of_many_that_bind_at_once_exactly_one_wins(home: Path) -> None:
    path = control.socket_path(home, 1)
    control.bind(path).close()  # a stale one lies there, so that every racer would like to remove it
    barrier = threading.Barrier(8)
    won: list[socket.socket] = []
    lost: list[control.SocketInUse] = []

    def race() -> None:
        barrier.wait()
        try:
            won.append(control.bind(path))
        except control.SocketInUse as error:
            lost.append(error)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert control.alive(path)
    won[0].close()


def test_loose_folder_of_ours_is_tightened(home: Path) -> None:
    folder = home / "run"
    folder.mkdir(mode=0o755)
    with control.bind(folder / "1.sock"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_folder_that_is_a_link_is_refused(home: Path) -> None:
    (home / "elsewhere").mkdir()
    (home / "run").symlink_to(home / "elsewhere")
    with pytest.raises(control.SocketError, match="remove it"):
        control.bind(home / "run" / "1.sock")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_folder_of_another_user_is_refused(home: Path) -> None:
    (home / "run").mkdir()
    os.chown(home / "run", 12345, 12345)
    with pytest.raises(control.SocketError, match="another user"):
        control.bind(home / "run" / "1.sock")


def test_file_in_the_way_is_not_removed(home: Path) -> None:
    (home / "run").mkdir()
    (home / "run" / "1.sock").write_text("mine")
    with pytest.raises(control.SocketError, match="is not a socket"):
        control.bind(home / "run" / "1.sock")
    assert (home / "run" / "1.sock").read_text() == "mine"


@pytest.mark.parametrize("place", ["XDG_RUNTIME_DIR", "TMPDIR"])
def test_long_home_falls_back_to_a_short_private_folder(
    home: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends compute the same path from the home alone, other homes another one, and it can be bound."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv(place, str(home))
    long = home / ("x" * 200)
    path = control.socket_path(long, 8000)
    assert len(os.fsencode(path)) <= control.MAX_PATH
    assert path.is_relative_to(home)
    assert path != control.socket_path(home / ("y" * 200), 8000)
    code = (
        "import sys, pathlib; from mlx_serve.control.socket import socket_path;"
        "print(socket_path(pathlib.Path(sys.argv[1]), 8000))"
    )
    other = subprocess.run([sys.executable, "-c", code, str(long)], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(path)
    with control.bind(path):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_every_port_of_a_home_has_its_socket_in_the_same_folder(home: Path) -> None:
    """The fallback is decided by the longest port, or `stop --all` would miss some."""
    for length in range(60, 120):
        long = Path("/" + "h" * length)
        assert control.socket_path(long, 1).parent == control.socket_path(long, 65535).parent


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="peer credentials are the system's own")
def test_peers_are_known_by_user_and_process(home: Path) -> None:
    path = control.socket_path(home, 1)
    with control.bind(path) as listener, control.dial(path) as near:
        far, _ = listener.accept()
        with far:
            assert control.peer_uid(far) == os.getuid()
            assert control.peer_uid(near) == os.getuid()
            assert control.peer_pid(near) == os.getpid()


@pytest.mark.timeout(20)
def test_a_process_that_stands_still_while_it_binds_does_not_stop_every_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = control.socket_path(home, 1)
    control.bind(path).close()
    monkeypatch.setattr(control, "_LOCK_SECONDS", 0.1)
    holder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(control.SocketError, match="another process has held"):
            control.bind(path)
    finally:
        os.close(holder)
    control.bind(path).close()
