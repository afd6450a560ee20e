"""The prompt process of one model: `python -m mlx_serve.daemon.engine.prompt.main --fd N`, started by its engine.

It learns the tokenizer and the model's limits, then answers jobs until the engine is gone. Chat templates and texts
come from anybody, and here they can be ended. No MLX, no thread: it forks.
"""

from __future__ import annotations

import gc
import os
import socket
from typing import TypeVar

import msgspec

from ..process import inherit
from .encoding import open_encoding
from .memory_bound import trim
from .prompt_frames import ModelData, TokenizerData, receive
from .render import Prompts
from .supervisor import Supervisor

T = TypeVar("T")


def main() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    sock = inherit()
    prompts = _prompts(sock)
    if prompts is not None:
        Supervisor(sock, prompts).run()
    os._exit(0)


def _prompts(sock: socket.socket) -> Prompts | None:
    """None where the engine ends first."""
    tokenizer = _receive(sock, TokenizerData)
    if tokenizer is None:
        return None
    encoding = open_encoding(tokenizer)
    tokenizer = msgspec.structs.replace(tokenizer, backend=None)
    encoding.ids("a", special=True)
    model = _receive(sock, ModelData)
    if model is None:
        return None
    prompts = Prompts(tokenizer, model, encoding)
    prompts.compile_own()
    gc.collect()
    trim()
    gc.freeze()
    return prompts


def _receive(sock: socket.socket, kind: type[T]) -> T | None:
    frame = receive(sock)
    return None if frame is None else msgspec.msgpack.decode(frame, type=kind)


if __name__ == "__main__":
    main()
