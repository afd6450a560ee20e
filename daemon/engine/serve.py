"""What a child does after its imports: Hello, Load, the engine. Every failure to load ends in a LoadFailed frame."""

from __future__ import annotations

import socket

import mlx.core as mx

from .. import protocol
from .cache import ragged
from .device import bound_pools
from .embed.embedder import Embedder, load_embedder
from .encode.row_worker import RowWorker
from .generate.generator import Generator, Limits
from .loop import Loop, Worker
from .mailbox import Mailbox
from .model.load import BadModel, LanguageModel, UnsupportedModel, load
from .prompt.prompt_frames import ModelData
from .prompt.prompt_process import PromptProcess
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
    prompts = PromptProcess(mailbox.queue.put)
    loaded = _load(request, mailbox, prompts)
    if loaded is None:
        return
    model, frame = loaded
    worker = _worker(model, request, prompts)
    mailbox.send(frame)
    Loop(worker, mailbox).run()
    mx.clear_streams()


def _worker(model: Model, request: protocol.Load, prompts: PromptProcess) -> Worker:
    """What does this kind of model's work."""
    if not isinstance(model, LanguageModel):
        prompts.use_model(model.texts)
        return RowWorker(model, request.memory_limit, prompts)
    prompts.use_model(
        ModelData(rows=model.rows, context_length=model.context_length, think_start=model.markers.think_start)
    )
    limits = Limits(
        max_batch=request.max_batch,
        tokens_per_step=request.prefill_tokens_per_step,
        memory=_cache_memory(request, model),
    )
    return Generator(model, limits, prompts)


def _cache_memory(request: protocol.Load, model: LanguageModel) -> int | None:
    """What is left of the model's share for caches, with room kept for what a step computes."""
    if request.memory_limit is None:
        return None
    return max(0, int((request.memory_limit - model.weight_bytes) * (1 - HEADROOM)))


def _load(request: protocol.Load, mailbox: Mailbox, prompts: PromptProcess) -> tuple[Model, protocol.Loaded] | None:
    try:
        match request.kind:
            case "embedding":
                return load_embedder(request, prompts.use_tokenizer)
            case "reranker":
                return load_reranker(request, prompts.use_tokenizer)
            case _:
                return load(request, prompts.use_tokenizer)
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
