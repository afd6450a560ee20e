"""Makes a Python process on Linux meet what it would meet on macOS; standard library only, applied by sitecustomize.

- The names of `mac_like_names` are gone: asyncio waits for children in threads and selects with poll(2), as without
  epoll and pidfd.
- There is no /proc, /sys, /dev/shm and /dev/full.
- A Unix socket's path has at most 103 bytes; of the loopback addresses only 127.0.0.1 is there.
- fork without exec is refused: after it macOS aborts a process that uses its frameworks. The program's own forks pass
  (`daemon/engine/prompt`, whose processes use none).

`sys.platform` stays "linux", so what the program does only where it has asked `sys.platform` passes too: that such
branches are complete is what `make check` shows, whose types are checked for macOS. So does psutil, which is another
program there.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from importlib.machinery import PathFinder

from mac_like_names import PATTERNS, is_absent

TYPE_CHECKING = False
if TYPE_CHECKING:  # a command that imports little is to be seen importing little
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType
    from typing import Any

MAX_UNIX_PATH = 103
HIDDEN = ("/proc", "/sys", "/dev/shm", "/dev/full")
_ROOT = os.path.realpath(__file__).rpartition("/tests/")[0]
_PROGRAM = tuple(f"{_ROOT}/{part}/" for part in ("daemon", "control", "handlers", "store", "packaging/python"))
_PATH_CALLS = ("stat", "lstat", "access", "readlink", "statvfs")
_IN_C = {"socket": "_socket", "signal": "_signal"}
_removed: dict[str, dict[str, Any]] = {}


def apply() -> None:
    """Once in a process; nothing takes it back."""
    if _removed:
        return
    for name in PATTERNS:
        _remove_names(name)
    for name in _PATH_CALLS:
        _hide(name)
    sys.addaudithook(_audit)


def _remove_names(name: str) -> None:
    # `socket` and `signal` are written in Python and take their names from C; they come when somebody imports them.
    if name in _IN_C and name not in sys.modules:
        sys.meta_path.insert(0, _Later(name))  # type: ignore[arg-type]
        return
    module = importlib.import_module(name)
    found = {each: getattr(module, each) for each in dir(module) if is_absent(name, each)}
    for each in found:
        delattr(module, each)
    found |= _removed.get(_IN_C.get(name, ""), {})
    _removed[name] = found
    if hasattr(module, "__all__"):
        module.__all__[:] = [each for each in module.__all__ if each not in found]

    def missing(attribute: str) -> Any:
        if attribute in found and (_by_program(sys._getframe(1)) or _is_psutil(sys._getframe(1))):
            return found[attribute]
        raise AttributeError(f"module {name!r} has no attribute {attribute!r} (as on macOS)")

    module.__getattr__ = missing  # type: ignore[method-assign]


class _Later:
    """Removes a module's names when it has been imported."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = PathFinder.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            _remove_names(name)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _hide(name: str) -> None:
    """Like the call of `os` itself, but hidden paths are not there."""
    call = getattr(os, name)

    def hiding(path: Any, *rest: Any, **more: Any) -> Any:
        if _is_hidden(path) and not _may_see(sys._getframe(1)):
            if name == "access":
                return False
            raise FileNotFoundError(errno.ENOENT, f"{os.strerror(errno.ENOENT)} (as on macOS)", path)
        return call(path, *rest, **more)

    setattr(os, name, hiding)
    for known in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if call in known:
            known.add(hiding)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    check = _CHECKS.get(event)
    if check is not None:
        check(*arguments)


def _check_path(path: Any, *_: Any) -> None:
    if _is_hidden(path) and not _may_see(sys._getframe(2)):
        raise FileNotFoundError(errno.ENOENT, f"{os.strerror(errno.ENOENT)} (as on macOS)", path)


def _check_address(sock: Any, address: Any) -> None:
    if sock.family == 1:  # AF_UNIX
        path = os.fsencode(address) if isinstance(address, str) else bytes(address)
        if len(path) > MAX_UNIX_PATH and not path.startswith(b"\0"):
            raise OSError(f"AF_UNIX path too long: {len(path)} bytes (as on macOS)")
    elif isinstance(address, tuple) and str(address[0]).startswith("127.") and address[0] != "127.0.0.1":
        raise OSError(errno.EADDRNOTAVAIL, f"{os.strerror(errno.EADDRNOTAVAIL)}: {address[0]} (as on macOS)")


def _check_fork(*_: Any) -> None:
    if not _by_program(sys._getframe(2)):
        raise RuntimeError("a fork without exec (not safe on macOS): start a process with subprocess")


_CHECKS: dict[str, Callable[..., None]] = {
    "open": _check_path,
    "os.listdir": _check_path,
    "os.scandir": _check_path,
    "socket.bind": _check_address,
    "socket.connect": _check_address,
    "socket.sendto": _check_address,
    "os.fork": _check_fork,
    "os.forkpty": _check_fork,
}


def _is_hidden(path: Any) -> bool:
    if isinstance(path, int) or path is None:
        return False
    text = os.fsdecode(path)
    return text.startswith(HIDDEN) and any(text == each or text.startswith(each + "/") for each in HIDDEN)


def _may_see(frame: FrameType | None) -> bool:
    """Whether psutil asks, or a function of the program that has asked `sys.platform` first."""
    while frame is not None:
        if _is_psutil(frame):
            return True
        if _is_program(frame) and _asks_platform(frame):
            return True
        frame = frame.f_back
    return False


def _is_psutil(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "psutil"


def _by_program(frame: FrameType | None) -> bool:
    return frame is not None and _is_program(frame)


def _is_program(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PROGRAM)


def _asks_platform(frame: FrameType) -> bool:
    import linecache

    lines = range(frame.f_code.co_firstlineno, frame.f_lineno + 1)
    return any("sys.platform" in linecache.getline(frame.f_code.co_filename, number) for number in lines)
