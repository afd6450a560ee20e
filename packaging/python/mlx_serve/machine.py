"""Whether MLX can run on this machine: what a Mac needs, said before pip or a model's process fails with less to say.

Also a script for `make`, run before anything is installed: it prints the sentence and exits with 1. Standard library
only.
"""

from __future__ import annotations

import sys

LEAST_MACOS = (14, 0)
"""MLX's wheels for Macs are tagged macosx_14_0_arm64 and newer."""


def problem() -> str | None:
    """Why MLX cannot run here, with what to do, as one sentence; None when nothing is known against it."""
    if sys.platform != "darwin":
        return None
    import os

    if os.uname().machine != "arm64":
        if number("sysctl.proc_translated") == 1:
            return (
                f"MLX needs a Python for Apple silicon, but {sys.executable} is one for Intel Macs, which Rosetta "
                "translates; install a native arm64 Python (python.org, or Homebrew in /opt/homebrew) and make the "
                "virtual environment anew with it"
            )
        return (
            "MLX needs a Mac with Apple silicon (M1 or newer), and this one has an Intel processor; mlx-serve also "
            "runs on Linux x86-64, with an NVIDIA GPU or on the CPU"
        )
    version = text("kern.osproductversion")
    if version and _numbers(version) < LEAST_MACOS:
        least = ".".join(map(str, LEAST_MACOS)).removesuffix(".0")
        return f"MLX needs macOS {least} or newer, and this is macOS {version}; update it in System Settings > General"
    return None


def text(name: str) -> str:
    """A value of a Mac's sysctl(3); empty where there is none of that name."""
    return _read(name).partition(b"\0")[0].decode("ascii", "replace")


def number(name: str) -> int:
    """As `text`; 0 where there is none of that name."""
    return int.from_bytes(_read(name), sys.byteorder)


def _read(name: str) -> bytes:
    import ctypes

    value = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(value))
    failed = ctypes.CDLL(None).sysctlbyname(name.encode(), value, ctypes.byref(size), None, ctypes.c_size_t(0))
    return b"" if failed else value.raw[: size.value]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


if __name__ == "__main__":
    if reason := problem():
        sys.stderr.write(f"mlx-serve cannot run here: {reason}.\n")
        sys.exit(1)
