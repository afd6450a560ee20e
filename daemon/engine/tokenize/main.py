"""The tokenizer process of one model: `python -m mlx_serve.daemon.engine.tokenize.main --fd N`, started by the daemon.

It speaks the frames of a model's child, and loads no more than the tokenizer and the chat templates; its jobs go to
forked workers, as the prompt process's do. Transformers opens the tokenizer in another process that ends then, for it
takes more memory than all the rest. No MLX, no thread: it forks.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys

import msgspec

from ... import protocol
from ..process import inherit
from ..prompt.main import settled
from ..prompt.prompt_frames import Model, ModelData, TokenizerData, body, receive, send
from ..prompt.supervisor import Supervisor
from ..prompt.text.encoding import open_encoding
from ..prompt.worker import Preparer
from .asker import Daemon

OPENING = (sys.executable, "-m", "mlx_serve.daemon.engine.tokenize.opening")
BEAT_SECONDS = 2.0

_opened: msgspec.msgpack.Decoder[TokenizerData | protocol.LoadFailed] = msgspec.msgpack.Decoder(
    TokenizerData | protocol.LoadFailed
)
_models: msgspec.msgpack.Decoder[Model] = msgspec.msgpack.Decoder(Model)


def main() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    daemon = Daemon(inherit())
    request = daemon.receive()
    if isinstance(request, protocol.Load):
        try:
            prompts = _opened_elsewhere(daemon, request)
        except Exception as error:
            prompts = None
            daemon.send(protocol.LoadFailed(code="internal_error", message=f"its tokenizer: {type(error).__name__}"))
        if prompts is not None:
            Supervisor(daemon, prompts).run()
    os._exit(0)


def _opened_elsewhere(daemon: Daemon, request: protocol.Load) -> Preparer | None:
    """None where the tokenizer cannot be opened, and the daemon was told why."""
    ours, theirs = socket.socketpair()
    with theirs:
        opening = subprocess.Popen(
            [*OPENING, "--fd", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    with ours:
        send(ours, body(request))
        while not select.select([ours], [], [], BEAT_SECONDS)[0]:
            daemon.send(protocol.Loading())
        frame = receive(ours)
        opened = _opened.decode(frame) if frame is not None else _ended(opening)
        if isinstance(opened, protocol.LoadFailed):
            daemon.send(opened)
            return None
        model_frame = receive(ours)
    opening.wait()
    if model_frame is None:
        daemon.send(_ended(opening))
        return None
    model = _models.decode(model_frame)
    encoding = open_encoding(opened)
    opened = msgspec.structs.replace(opened, backend=None)
    prompts = settled(opened, model, encoding)
    daemon.send(_loaded(model))
    return prompts


def _ended(opening: subprocess.Popen[bytes]) -> protocol.LoadFailed:
    status = opening.wait()
    reason = f"signal {-status}" if status < 0 else f"exit status {status}"
    message = f"the process that opens its tokenizer ended ({reason})"
    return protocol.LoadFailed(code="internal_error", message=message)


def _loaded(model: Model) -> protocol.Loaded:
    longest = model.context_length if isinstance(model, ModelData) else model.longest
    return protocol.Loaded(
        weight_bytes=0, kv_bytes_per_token=0, context_length=longest, vocabulary=model.rows, batchable=False
    )


if __name__ == "__main__":
    main()
