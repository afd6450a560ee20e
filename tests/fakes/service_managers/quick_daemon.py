"""A daemon that starts at once: it answers on its control socket, tells systemd that it is ready, ends on SIGTERM.

A file `broken` in its home is a wrong setting to it, a file `version` another version of the program.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

from mlx_serve import __version__
from mlx_serve.control.socket import SocketInUse, bind, socket_path

HOME = Path(os.environ["MLX_SERVE_HOME"])


def main(arguments: list[str]) -> int:
    port = int(arguments[arguments.index("--port") + 1]) if "--port" in arguments else 8000
    if (HOME / "broken").exists():
        return fail("config.yaml:1: there is no setting 'prot'", os.EX_CONFIG)
    try:
        listener = bind(socket_path(HOME, port))
    except SocketInUse as error:
        return fail(str(error), os.EX_TEMPFAIL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.sendto(b"READY=1", address)
    try:
        while True:
            answer(listener, port)
    finally:
        socket_path(HOME, port).unlink()


def fail(reason: str, code: int) -> int:
    sys.stderr.write(f"mlx-serve: {reason}\n")
    return code


def answer(listener: socket.socket, port: int) -> None:
    connection, _ = listener.accept()
    version = (HOME / "version").read_text() if (HOME / "version").exists() else __version__
    body = json.dumps({"pid": os.getpid(), "url": f"http://127.0.0.1:{port}", "version": version}).encode()
    with connection, contextlib.suppress(OSError):
        if connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
