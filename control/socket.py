"""Where the control socket is; bind it, dial it, ask who is at the other end.

The daemon and the command both find the socket here, so neither can disagree. Standard library only.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
import time
from pathlib import Path

MAX_PATH = 103 if sys.platform == "darwin" else 107
"""Bytes that `sockaddr_un.sun_path` holds without its closing NUL."""

_SOL_LOCAL = 0
_LOCAL_PEERCRED = 0x001
_LOCAL_PEERPID = 0x002
_CONNECT_SECONDS = 1.0
_LOCK_SECONDS = 10.0
_BACKLOG = 128


class SocketError(OSError):
    """The socket cannot be made safely; `str()` is a sentence for the user."""


class SocketInUse(SocketError):
    """A live daemon answers at this path. `pid` is its process, where the system tells it."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"a daemon is already running at {path}" + (f", pid {pid}" if pid else ""))
        self.path = path
        self.pid = pid


def socket_path(home: Path, port: int) -> Path:
    """The socket of the daemon that serves `port` from `home`."""
    return socket_folder(home) / f"{port}.sock"


def log_path(home: Path, port: int) -> Path:
    return home / "logs" / f"{port}.log"


def socket_folder(home: Path) -> Path:
    """`<home>/run`, or a short private folder when a socket path in there could pass the system's limit."""
    folder = home.expanduser().absolute() / "run"
    return folder if _fits(folder) else _short_folder(home)


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / "65535.sock")) <= MAX_PATH


def _short_folder(home: Path) -> Path:
    import hashlib

    digest = hashlib.sha256(os.fsencode(home.expanduser().resolve())).hexdigest()[:16]
    name = f"mlx-serve-{os.getuid()}-{digest}"
    for place in (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR")):
        if place and Path(place).is_absolute() and _fits(Path(place) / name):
            return Path(place) / name
    return Path("/tmp") / name


def bind(path: Path) -> socket.socket:
    """A listening socket at `path`: mode 0600 in a folder of mode 0700 that is ours.

    A stale socket is replaced, a live one never: then SocketInUse. Raises SocketError for a folder that someone else
    could reach into. The umask is the process's: call this before threads start.
    """

    folder = path.parent
    _make_private(folder)
    # The folder is its own lock: of two daemons that start at once, the second sees the first one's socket alive.
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _take(lock, folder)
        _clear(path)
        return _listen(path)
    finally:
        os.close(lock)


def _take(lock: int, folder: Path) -> None:
    """Another daemon holds it for a moment only; one that stands still in that moment must not stop every start."""
    import fcntl

    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise SocketError(f"another process has held {folder} for {_LOCK_SECONDS:.0f} s; end it") from None
        time.sleep(0.02)


def _make_private(folder: Path) -> None:
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise SocketError(f"cannot make the folder {folder} of the control socket: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise SocketError(f"{folder} is a link or a file; remove it, so that a private folder can take its place")
    if found.st_uid != os.getuid():
        raise SocketError(f"{folder} belongs to another user; remove it, or set MLX_SERVE_HOME to a folder of your own")
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"{path} is in the way and is no socket; remove it")
    try:
        with dial(path, timeout=_CONNECT_SECONDS) as live:
            raise SocketInUse(path, peer_pid(live))
    except (TimeoutError, BlockingIOError):
        raise SocketInUse(path, None) from None
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SocketError(f"cannot make the control socket {path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return listener


def dial(path: Path, timeout: float | None = None) -> socket.socket:
    """A connection to the daemon. Raises FileNotFoundError or ConnectionRefusedError when none is there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
    except OSError:
        connection.close()
        raise
    return connection


def alive(path: Path) -> bool:
    """Whether a daemon listens at `path`; one that is too busy to accept counts."""
    try:
        dial(path, timeout=_CONNECT_SECONDS).close()
    except (TimeoutError, BlockingIOError):
        return True
    except OSError:
        return False
    return True


def peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end, or None where the system does not tell. Raises OSError on a dead connection."""
    if sys.platform == "linux":
        return _linux_peer(connection)[1]
    if sys.platform == "darwin":
        # struct xucred: u_int version, uid_t uid, short ngroups, gid_t groups[16]
        credentials = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        version, uid = struct.unpack_from("=II", credentials)
        return int(uid) if version == 0 else None
    return None


def peer_pid(connection: socket.socket) -> int | None:
    """The process at the other end, or None where the system does not tell. Raises OSError on a dead connection."""
    if sys.platform == "linux":
        return _linux_peer(connection)[0] or None
    if sys.platform == "darwin":
        return connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID) or None
    return None


def _linux_peer(connection: socket.socket) -> tuple[int, int, int]:
    if sys.platform != "linux":
        raise OSError("SO_PEERCRED is Linux's")
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid
