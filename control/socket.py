"""The control socket: its path, binding, connecting, and the peer's credentials.

The daemon and the command both take the path from here. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
import time
from pathlib import Path

MAX_PATH = 103 if sys.platform == "darwin" else 107
"""Bytes that fit in `sockaddr_un.sun_path` without the final NUL."""

_LONGEST_NAME = "65535.sock"
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 0x001
_LOCAL_PEERPID = 0x002
_CONNECT_SECONDS = 1.0
_LOCK_SECONDS = 10.0
_BACKLOG = 128


class SocketError(OSError):
    """The socket cannot be created safely; `str()` is a sentence for the user."""


class SocketInUse(SocketError):
    """A running daemon listens at this path. `pid` is its process, where the system reports it."""

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
    """`<home>/run`; for a home whose sockets would have too long a path, a folder of its own in the user's
    `~/.mlx-serve/sockets`, which every login, service and shell of the user finds and no system cleans up. Raises
    SocketError when that is too long as well."""
    folder = home.expanduser().absolute() / "run"
    if _fits(folder):
        return folder
    short = Path("~/.mlx-serve/sockets").expanduser() / _digest(home)
    if _fits(short):
        return short
    most = MAX_PATH - len(f"/run/{_LONGEST_NAME}")
    raise SocketError(
        f"the control socket's path would have {_length(folder)} bytes in {folder} and {_length(short)} in {short}, "
        f"but the system allows {MAX_PATH}; set MLX_SERVE_HOME to a folder whose path has at most {most} bytes"
    )


def running_socket(home: Path, port: int) -> Path:
    """As `socket_path`, but where an older version's daemon is found in one of its places, that one."""
    path = socket_path(home, port)
    if path.parent == home.expanduser().absolute() / "run" or alive(path):
        return path
    return next((old for folder in old_folders(home) if alive(old := folder / path.name)), path)


def old_folders(home: Path) -> list[Path]:
    """Where the first versions had the sockets of a home with a long path; none for other homes."""
    if _fits(home.expanduser().absolute() / "run"):
        return []
    name = f"mlx-serve-{os.getuid()}-{_digest(home)}"
    places = (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp")
    return [folder for place in places if place and _fits(folder := Path(place).absolute() / name)]


def _digest(home: Path) -> str:
    import hashlib

    return hashlib.sha256(os.fsencode(home.expanduser().resolve())).hexdigest()[:16]


def _fits(folder: Path) -> bool:
    return _length(folder) <= MAX_PATH


def _length(folder: Path) -> int:
    """Of the longest path that a socket may have in it."""
    return len(os.fsencode(folder / _LONGEST_NAME))


def bind(path: Path) -> socket.socket:
    """A listening socket at `path`: mode 0600, in a folder of mode 0700 that belongs to this user.

    Replaces a stale socket; raises SocketInUse for a live one, SocketError for a folder that others can write to.
    Changes the umask of the process for a moment: call it before threads start.
    """

    folder = path.parent
    while True:
        _make_private(folder)
        # The folder is the lock: of two daemons that start at once, the second finds the first one's socket live.
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(lock, folder)
            if not _is_still(folder, lock):
                continue  # its last user removed it between our opening and our lock
            _clear(path)
            return _listen(path)
        finally:
            os.close(lock)


def remove(path: Path, home: Path) -> None:
    """Remove a socket that is ours, and its folder when that is outside of the home and nobody else uses it."""
    path.unlink(missing_ok=True)
    if path.parent == home.expanduser().absolute() / "run":
        return
    import fcntl

    with contextlib.suppress(OSError):
        lock = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.parent.rmdir()
        finally:
            os.close(lock)


def _is_still(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(lock: int, folder: Path) -> None:
    """Daemons hold it only for a moment; a limit, so that a stopped process does not block every start."""
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
        found = _made(folder)
    except OSError as error:
        raise SocketError(f"cannot create the folder {folder} for the control socket: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise SocketError(f"{folder} must be a folder, but it is a link or a file; remove it")
    if found.st_uid != os.getuid():
        raise SocketError(f"{folder} belongs to another user; remove it, or set MLX_SERVE_HOME to a folder of your own")
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def _made(folder: Path) -> os.stat_result:
    """A daemon that ends removes the folder, at any moment. Raises OSError."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        try:
            return folder.lstat()
        except FileNotFoundError:
            if time.monotonic() >= deadline:
                raise


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"{path} exists and is not a socket; remove it")
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
        raise SocketError(f"cannot create the control socket {path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return listener


def dial(path: Path, timeout: float | None = None) -> socket.socket:
    """A connection to the daemon. Raises FileNotFoundError or ConnectionRefusedError when none is running."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
    except OSError:
        connection.close()
        raise
    return connection


def alive(path: Path) -> bool:
    """Whether a daemon listens at `path`, also one that is too busy to accept."""
    try:
        dial(path, timeout=_CONNECT_SECONDS).close()
    except (TimeoutError, BlockingIOError):
        return True
    except OSError:
        return False
    return True


def peer_uid(connection: socket.socket) -> int | None:
    """The uid of the peer, or None where the system does not report it. Raises OSError on a closed connection."""
    if sys.platform == "linux":
        return _linux_peer(connection)[1]
    if sys.platform == "darwin":
        # struct xucred: u_int version, uid_t uid, short ngroups, gid_t groups[16]
        credentials = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        version, uid = struct.unpack_from("=II", credentials)
        return int(uid) if version == 0 else None
    return None


def peer_pid(connection: socket.socket) -> int | None:
    """The pid of the peer, or None where the system does not report it. Raises OSError on a closed connection."""
    if sys.platform == "linux":
        return _linux_peer(connection)[0] or None
    if sys.platform == "darwin":
        return connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID) or None
    return None


def _linux_peer(connection: socket.socket) -> tuple[int, int, int]:
    if sys.platform != "linux":
        raise OSError("SO_PEERCRED exists only on Linux")
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid
