"""A job that has no MLX: `python fakes/job.py MODE --fd N` reads its order and does what MODE says.

`works` writes a small model and says how far it is, `waits` says that it began and never ends, `dies`, `babbles` (no
frame), and the codes of protocol.JobFailed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from mlx_serve.daemon import protocol
from mlx_serve.daemon.protocol import JobFailed, Quantize, Quantized, Quantizing

TENSORS = {
    "model.embed_tokens.weight": ("U32", [320, 8], 4),
    "model.embed_tokens.scales": ("F32", [320, 2], 4),
    "model.embed_tokens.biases": ("F32", [320, 2], 4),
    "model.norm.weight": ("F32", [64], 4),
}


def weights() -> bytes:
    header: dict[str, Any] = {}
    end = 0
    for name, (dtype, shape, width) in TENSORS.items():
        start, end = end, end + width * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def write(order: Quantize) -> int:
    output = Path(order.output)
    settings = {"bits": order.bits, "group_size": order.group_size, "mode": order.mode}
    config = json.loads((Path(order.path) / "config.json").read_text()) | {"quantization": settings}
    (output / "config.json").write_text(json.dumps(config))
    return (output / "model.safetensors").write_bytes(weights())


def main() -> None:
    mode = sys.argv[1]
    sock = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
    stream = sock.makefile("rb")
    order = protocol.decode_to_child(stream.read(protocol.frame_length(stream.read(4))))
    if not isinstance(order, Quantize):
        sys.exit(2)
    for done in (0, 500, 1000):
        sock.sendall(protocol.encode(Quantizing(done_bytes=done, total_bytes=1000)))
    size = write(order)
    match mode:
        case "works":
            sock.sendall(protocol.encode(Quantized(weight_bytes=size, peak_memory=1, seconds=0.1)))
        case "waits":
            signal.pause()
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "babbles":
            sock.sendall(b"\x00\x00\x00\x05hello")
            signal.pause()
        case code:
            sock.sendall(protocol.encode(JobFailed(code=code, message="it is so")))  # type: ignore[arg-type]


main()
