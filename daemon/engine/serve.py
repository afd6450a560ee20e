"""What a child does after its imports: Hello, Load, the engine. Every failure to load ends in a LoadFailed frame."""

from __future__ import annotations

import socket

import mlx.core as mx

from .. import protocol
from .cache import ragged
from .device import bound_pools
from .embed.embedder import Embedder, load_embedder
from .encode.row_worker import RowWorker
from .generate.generator import Generator
from .generate.scheduler import Limits
from .loop import Loop, Worker
from .mailbox import Mailbox
from .model.load import BadModel, LanguageModel, UnsupportedModel, load
from .rerank.reranker import Reranker, load_reranker

HEADROOM = 0.1

Model = LanguageModel | Embedder | Reranker


def live(sock: socket.socket, hello: protocol.Hello) -> None:
    """Returns when the parent says Quit or the model cannot be loaded."""
    mailbox = Mailbox(sock)
    mailbox.send(hello)
    mailbox.start()
    request = mailbox.queue.get()
    if not isinstance(request, protocol.Load):
        return
    ragged.install()
    bound_pools(hello.device_memory)
    loaded = _load(request, mailbox)
    if loaded is None:
        return
    model, frame = loaded
    worker = _worker(model, request, mailbox)
    mailbox.send(frame)
    Loop(worker, mailbox).run()
    mx.clear_streams()


def _worker(model: Model, request: protocol.Load, mailbox: Mailbox) -> Worker:
    """What does this kind of model's work."""
    if not isinstance(model, LanguageModel):
        return RowWorker(model, request.memory_limit, mailbox.queue.put)
    limits = Limits(
        max_batch=request.max_batch,
        token_bytes=model.key_value_bytes,
        memory=_cache_memory(request, model),
    )
    return Generator(model, limits, request.prefill_tokens_per_step, mailbox.queue.put)


def _cache_memory(request: protocol.Load, model: LanguageModel) -> int | None:
    """What is left of the model's share for caches, with room kept for what a step computes."""
    if request.memory_limit is None:
        return None
    return max(0, int((request.memory_limit - model.weight_bytes) * (1 - HEADROOM)))


def _load(request: protocol.Load, mailbox: Mailbox) -> tuple[Model, protocol.Loaded] | None:
    try:
        match request.kind:
            case "embedding":
                return load_embedder(request)
            case "reranker":
                return load_reranker(request)
            case _:
                return load(request)
    except BadModel as error:
        failed = protocol.LoadFailed(code="bad_model", message=str(error))
    except UnsupportedModel as error:
        failed = protocol.LoadFailed(code="unsupported", message=str(error))
    except MemoryError:
        failed = protocol.LoadFailed(code="insufficient_memory", message="the memory of this machine does not hold it")
    except Exception as error:
        text = " ".join(str(error).replace(request.path, "the model").split())[:300]
        failed = protocol.LoadFailed(
            code="insufficient_memory" if "memory" in text.lower() else "internal_error",
            message=f"{type(error).__name__}: {text}",
        )
    mailbox.send(failed)
    return None
