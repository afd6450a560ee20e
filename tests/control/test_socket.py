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
from support.waiting import GUARD

from mlx_serve.control import socket as control
from mlx_serve.control.cli.arguments.usage_error import UsageError
from mlx_serve.control.cli.target import find, running_sockets


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


@pytest.fixture
def user(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user; the limit is macOS'."""
    monkeypatch.setattr(control, "MAX_PATH", 103)
    made = home / "user"
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    return made


def test_long_home_has_its_sockets_in_a_private_folder_of_the_user(
    home: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends compute the same path from the home alone, whatever their temporary folders are: a terminal's, a
    service's and an ssh login's differ on macOS. Other homes have another one, and it can be bound."""
    long = home / ("x" * 200)
    path = control.socket_path(long, 8000)
    assert path.parent.parent == user / ".mlx-serve" / "sockets" and path.name == "8000.sock"
    assert path != control.socket_path(home / ("y" * 200), 8000)
    code = (
        "import sys, pathlib; from mlx_serve.control.socket import socket_path;"
        "print(socket_path(pathlib.Path(sys.argv[1]), 8000))"
    )
    for place in ("XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(place, str(home))
        other = subprocess.run([sys.executable, "-c", code, str(long)], capture_output=True, text=True, check=True)
        assert other.stdout.strip() == str(path)
    with control.bind(path):
        for folder in (path.parent, path.parent.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert control.running_socket(long, 8000) == path
    control.remove(path, long)
    assert list((user / ".mlx-serve" / "sockets").iterdir()) == []


def test_a_folder_outside_the_home_goes_with_its_last_socket(home: Path, user: Path) -> None:
    """Not while another daemon's socket is in it, or while one binds there; one that comes to bind makes it anew."""
    long = home / ("x" * 200)
    first, second = control.socket_path(long, 1), control.socket_path(long, 2)
    control.bind(first).close()
    control.bind(second).close()
    control.remove(first, long)
    assert second.exists()
    holder = os.open(second.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    bound: list[socket.socket] = []
    thread = threading.Thread(target=lambda: bound.append(control.bind(first)))
    thread.start()
    control.remove(second, long)
    assert second.parent.exists()
    second.parent.rmdir()
    os.close(holder)
    thread.join(GUARD)
    assert control.alive(first)
    bound[0].close()


def test_the_run_folder_of_a_home_stays(home: Path) -> None:
    path = control.socket_path(home, 1)
    control.bind(path).close()
    control.remove(path, home)
    assert list((home / "run").iterdir()) == []


def test_where_every_place_is_too_long_the_user_is_told_what_fits(
    home: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(user / ("u" * 90)))
    with pytest.raises(control.SocketError, match="the system allows 103; set MLX_SERVE_HOME to a folder whose path"):
        control.socket_path(home / ("x" * 200), 8000)
    fits = control.MAX_PATH - len("/run/65535.sock")
    at_most = Path("/" + "h" * (fits - 1))
    assert control.socket_path(at_most, 1) == at_most / "run" / "1.sock"
    with pytest.raises(control.SocketError, match=f"has at most {fits} bytes"):
        control.socket_path(Path(f"{at_most}h"), 1)


@pytest.mark.parametrize("place", ["XDG_RUNTIME_DIR", "TMPDIR"])
def test_a_daemon_of_the_first_version_is_found_where_it_listens(
    home: Path, user: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had the socket of a long home in the folder that the environment named."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv(place, str(home))
    long = home / ("x" * 200)
    (folder, *_) = control.old_folders(long)
    assert folder.is_relative_to(home) and folder.name.startswith(f"mlx-serve-{os.getuid()}-")
    assert control.old_folders(home) == []
    with control.bind(folder / "8000.sock"):
        assert control.running_socket(long, 8000) == folder / "8000.sock"
        assert running_sockets(long) == [folder / "8000.sock"]
        with control.bind(control.socket_path(long, 8000)):
            assert control.running_socket(long, 8000) == control.socket_path(long, 8000)


def test_a_socket_that_the_user_names_is_checked_too(user: Path) -> None:
    with pytest.raises(UsageError, match=r"--socket: the path has 206 bytes, but the system allows"):
        find(None, f"/{'s' * 200}.sock")


def test_every_port_of_a_home_has_its_socket_in_the_same_folder(home: Path, user: Path) -> None:
    """The fallback is decided by the longest port, or `stop --all` would miss some."""
    for length in range(60, 120):
        long = Path("/" + "h" * length)  # with the folder of a user whose path is short
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
