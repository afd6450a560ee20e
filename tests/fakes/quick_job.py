"""In place of the job that quantizes: writes files that look the part, in small pieces over a twentieth of a second.

Its parent, the frames and the way of the files into the store are the real ones; only MLX is not there, whose import
alone would take longer than all else.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.hub.checkpoints import weights

from mlx_serve.daemon import protocol
from mlx_serve.daemon.engine.mailbox import Mailbox
from mlx_serve.daemon.engine.process import inherit

_PIECES = 16


def main() -> None:
    mailbox = Mailbox(inherit())
    mailbox.start()
    order = mailbox.queue.get()
    if isinstance(order, protocol.Quantize):
        try:
            mailbox.send(write(order, mailbox))
        except FileNotFoundError:  # somebody removed the model just now
            mailbox.send(protocol.JobFailed(code="bad_model", message="a file is missing"))
    os._exit(0)


def write(order: protocol.Quantize, mailbox: Mailbox) -> protocol.Quantized:
    source, output = Path(order.path), Path(order.output)
    config = json.loads((source / "config.json").read_bytes())
    config["quantization"] = {"bits": order.bits, "group_size": order.group_size, "mode": order.mode}
    data = weights(400_000, seed=order.bits)
    step = len(data) // _PIECES + 1
    with open(output / "model.safetensors", "wb", buffering=0) as file:
        for start in range(0, len(data), step):
            file.write(data[start : start + step])
            mailbox.send(protocol.Quantizing(done_bytes=start, total_bytes=len(data)))
            time.sleep(0.003)
    (output / "config.json").write_text(json.dumps(config))
    return protocol.Quantized(weight_bytes=len(data), peak_memory=1, seconds=0.05)


if __name__ == "__main__":
    main()
