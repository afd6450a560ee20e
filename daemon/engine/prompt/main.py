"""The prompt process of one model: `python -m mlx_serve.daemon.engine.prompt.main --fd N`, started by its engine.

It learns the tokenizer and the model's limits, then answers jobs until the engine is gone. Chat templates and texts
come from anybody, and here they can be ended. No MLX, no thread: it forks.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ..process import inherit
from ..texts.embed_rows import EmbedRows
from ..texts.rerank_rows import rerank_rows
from .environment import compiled
from .memory_bound import trim
from .prompt_frames import EmbedData, Model, ModelData, RerankData, TokenizerData, receive
from .render import Prompts
from .supervisor import Engine, Supervisor
from .text.control_tokens import pattern
from .text.encoding import Encoding, open_encoding
from .worker import Preparer

if TYPE_CHECKING:
    from .pictures.sight import Sight

T = TypeVar("T")
_tokenizers = msgspec.msgpack.Decoder(TokenizerData)
_models: msgspec.msgpack.Decoder[Model] = msgspec.msgpack.Decoder(Model)


def main() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    sock = inherit()
    prompts = _prompts(sock)
    if prompts is not None:
        Supervisor(Engine(sock), prompts).run()
    os._exit(0)


def _prompts(sock: socket.socket) -> Preparer | None:
    """None where the engine ends first."""
    tokenizer = _receive(sock, _tokenizers)
    if tokenizer is None:
        return None
    encoding = open_encoding(tokenizer)
    tokenizer = msgspec.structs.replace(tokenizer, backend=None)
    encoding.ids("a", special=True)
    _compile_templates(tokenizer, encoding)
    _tidy()
    model = _receive(sock, _models)
    return None if model is None else settled(tokenizer, model, encoding)


def settled(tokenizer: TokenizerData, model: Model, encoding: Encoding) -> Preparer:
    """What does this model's work, with as little memory as can be for the processes that are forked off."""
    prompts = preparer_of(tokenizer, model, encoding)
    _tidy()
    return prompts


def _compile_templates(tokenizer: TokenizerData, encoding: Encoding) -> None:
    """While the engine still reads the weights: what the model's own templates are compiled to, and the expression for
    the tokens in them, are kept by those who compile them."""
    for source in tokenizer.templates:
        with contextlib.suppress(Exception):  # what is wrong with them is told when they are used
            pattern(encoding.added, tokenizer.control, compiled(source).literals)


def _tidy() -> None:
    """What there is now stays: the collector looks at it once, and no more."""
    gc.collect()
    trim()
    gc.freeze()


def preparer_of(tokenizer: TokenizerData, model: Model, encoding: Encoding) -> Preparer:
    match model:
        case EmbedData():
            return EmbedRows(encoding, model)
        case RerankData():
            return rerank_rows(encoding, model)
        case ModelData():
            prompts = Prompts(tokenizer, model, encoding, sight=_sight(model))
            prompts.compile_own()
            return prompts


def _sight(model: ModelData) -> Sight | None:
    """Pillow and Transformers are imported only where there is something to see."""
    if model.sight is None:
        return None
    from .pictures.sight import Sight

    return Sight(model.sight)


def _receive(sock: socket.socket, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
    frame = receive(sock)
    return None if frame is None else decoder.decode(frame)


if __name__ == "__main__":
    main()
