"""What a child does after its imports: Hello, Load, the engine. Every failure to load ends in a LoadFailed frame."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import mlx.core as mx
import msgspec

from .. import protocol
from .cache import attention
from .collector import Collector
from .cpu import stand_ins
from .cpu.few_rows_sgemm import FewRowsSgemm
from .cpu.threads import forget_others
from .device import MemoryShare, backend, bound_memory, bound_pool, out_of_memory, release_pool, wire
from .embed.embedder import Embedder, load_embedder
from .encode.row_worker import RowWorker
from .generate.disk import open_disk
from .generate.dispatch import Dispatch
from .generate.engine_limits import Limits
from .generate.generator import Generator
from .grammar.compiler import GrammarCompiler
from .kernels.fusing import Fusing
from .loop import Loop, Worker
from .mailbox import Mailbox
from .model.compiled_layers import functions
from .model.load import LanguageModel, known_tokenizers, load
from .model.model_folder import BadModel, UnsupportedModel
from .prompt.prompt_frames import ModelData
from .prompt.prompt_process import PromptProcess
from .rerank.reranker import Reranker, load_reranker
from .shares import divide
from .warmup.learning import Learning
from .warmup.made_up import PLAIN, REQUESTS, warm_up
from .warmup.rehearsal import rehearse
from .warmup.rest import Rest
from .warmup.warmed import Warmed

BEAT_SECONDS = 2.0
REHEARSE_AFTER = 0.1  # seconds in which a model may come that was waited for
CLOSE_SECONDS = 3.0  # less than the daemon waits for the process's end
MAKE_ROOM = "end what else takes memory there, unload another model, or take a smaller one"

Model = LanguageModel | Embedder | Reranker


def live(mailbox: Mailbox, prompts: PromptProcess, hello: protocol.Hello) -> None:
    """Returns when the parent says Quit or the model cannot be loaded. `prompts` deliver to the mailbox."""
    mailbox.send(hello)
    mailbox.start()
    if backend() == "cuda":  # for those who dispatch (generate/dispatch.py)
        mx.set_default_stream(mx.new_thread_unsafe_stream(mx.default_device()))
    attention.install()
    if backend() == "cpu":  # where MLX would run the C++ compiler for what it fuses (kernels/)
        mx.disable_compile()
    stand_ins.install_for_cpu()
    release_pool()  # of what was measured there
    request = _first(mailbox)
    if not isinstance(request, protocol.Load):
        return
    share = MemoryShare(hello.device_memory if request.memory_limit is None else request.memory_limit)
    memory = share.has
    bound_memory(memory)
    with signs_of_life(mailbox):
        loaded = _load(request, mailbox, prompts)
    if loaded is None:
        return
    model, frame = loaded
    if model.weight_bytes > memory:
        mailbox.send(_too_large(model.weight_bytes, memory))
        return
    wire(min(model.weight_bytes, request.wired))
    bound_pool(divide(memory, model.weight_bytes))
    limits = Limits(
        max_batch=request.max_batch,
        tokens_per_step=request.prefill_tokens_per_step,
        memory=divide(memory, model.weight_bytes).caches,
        prefixes=request.prefixes,
    )
    with signs_of_life(mailbox):
        worker = _worker(model, request, limits, memory, prompts, hello)
    release_pool()
    forget_others()
    if isinstance(worker, Generator):
        frame = msgspec.structs.replace(frame, reuse=worker.reuse, file_bits=worker.file_bits)
        mailbox.asked = worker.admit
    mailbox.send(frame)

    def busy() -> bool:
        return bool(prompts.busy) or not mailbox.queue.empty()

    collector = Collector()
    rest = Rest(
        model if isinstance(model, LanguageModel) else None,
        limits,
        busy,
        plans=backend() == "cuda",
        timings=worker.timings if isinstance(worker, Generator) else None,
        processes=(_fusing(model, request, busy), _learning(model, request)),
        collect=collector.rest,
    )
    Loop(worker, mailbox, rest=rest, after_step=collector.after_step, share=share).run()
    if isinstance(worker, Generator):
        worker.close(CLOSE_SECONDS)
    mx.clear_streams()


def _first(mailbox: Mailbox) -> protocol.ToChild:
    """What the parent says first. While it says nothing, an NVIDIA GPU gets to know what every model needs."""
    if backend() == "cuda":
        with contextlib.suppress(queue.Empty):
            return cast(protocol.ToChild, mailbox.queue.get(timeout=REHEARSE_AFTER))
        with signs_of_life(mailbox):
            rehearse(lambda: not mailbox.queue.empty())
    return cast(protocol.ToChild, mailbox.queue.get())


def _worker(
    model: Model,
    request: protocol.Load,
    limits: Limits,
    memory: int,
    prompts: PromptProcess,
    hello: protocol.Hello,
) -> Worker:
    """What does this kind of model's work."""
    if not isinstance(model, LanguageModel):
        prompts.use_model(model.texts)
        return RowWorker(model, memory, prompts)
    prompts.use_model(model_data(model))
    prompts.use_grammars(GrammarCompiler(model.vocabulary, model.rows, model.stop_tokens))
    if backend() != "cpu":
        _warm_up(model, limits)
    disk = None if request.files is None else open_disk(model, request.files, hello)
    return Generator(model, limits, prompts, disk, dispatch=Dispatch(threaded=backend() == "cuda"))


def _fusing(model: Model, request: protocol.Load, busy: Callable[[], bool]) -> Callable[[], float | None]:
    """What a rest does about kernels for the processor: nothing where MLX is told to compile nothing."""
    if request.kernels is None or backend() != "cpu" or not isinstance(model, LanguageModel) or not model.batchable:
        return lambda: None
    if "MLX_DISABLE_COMPILE" in os.environ:
        return lambda: None
    steps = functions(model.network)
    products = [FewRowsSgemm()] if sys.platform == "linux" else []
    return Fusing([*products, *steps, *stand_ins.functions()], request.max_batch, Path(request.kernels), busy)


def _learning(model: Model, request: protocol.Load) -> Callable[[], float | None]:
    """What a rest does about the tokenizer: the next load need not ask Transformers."""
    if not isinstance(model, LanguageModel):
        return lambda: None
    return Learning(Path(request.path), known_tokenizers(request))


def _warm_up(model: LanguageModel, limits: Limits) -> None:
    """On GPUs, which compile kernels when they meet them; on NVIDIA's not where all of them are on disk. What fails
    here fails in a request too, and is told there."""
    warmed = Warmed()
    if backend() == "cuda" and warmed.has(model.trial):
        return
    try:
        warm_up(model, limits, PLAIN if backend() == "cuda" else REQUESTS)
    except (RuntimeError, ValueError, MemoryError) as error:
        sys.stderr.write(f"warm up model: {type(error).__name__}: {' '.join(str(error).split())[:300]}\n")
        sys.stderr.flush()
        return
    if backend() == "cuda":
        warmed.note(model.trial)


def model_data(model: LanguageModel) -> ModelData:
    """What the prompt process needs to know of the model."""
    return ModelData(rows=model.rows, context_length=model.context_length, sight=model.sight)


@contextlib.contextmanager
def signs_of_life(mailbox: Mailbox, seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """From a thread, and only here: a load is one long call, and the engine's loop does not run yet."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(seconds):
            mailbox.send(protocol.Loading())

    thread = threading.Thread(target=beat, name="loading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _too_large(weights: int, memory: int) -> protocol.LoadFailed:
    message = f"its weights take {weights / 1e6:,.0f} MB, and {memory / 1e6:,.0f} MB are left for it; {MAKE_ROOM}"
    return protocol.LoadFailed(code="insufficient_memory", message=message)


def _load_failed(error: Exception, path: str) -> protocol.LoadFailed:
    told = " ".join(str(error).replace(path, "the model").split())[:300]
    text = f"{type(error).__name__}: {told}" if told else type(error).__name__
    if not (out_of_memory(error) or "memory" in text.lower()):
        return protocol.LoadFailed(code="internal_error", message=text)
    return protocol.LoadFailed(code="insufficient_memory", message=f"memory ran out for it; {MAKE_ROOM} ({text})")


def _load(request: protocol.Load, mailbox: Mailbox, prompts: PromptProcess) -> tuple[Model, protocol.Loaded] | None:
    try:
        match request.kind:
            case "embedding":
                return load_embedder(request, prompts.use_tokenizer)
            case "reranker":
                return load_reranker(request, prompts.use_tokenizer)
            case "vlm":
                from .vision.checkpoint import load_seeing  # mlx-vlm takes seconds to import

                return load_seeing(request, prompts.use_tokenizer)
            case _:
                return load(request, prompts.use_tokenizer)
    except BadModel as error:
        failed = protocol.LoadFailed(code="bad_model", message=str(error))
    except UnsupportedModel as error:
        failed = protocol.LoadFailed(code="unsupported", message=str(error))
    except Exception as error:
        failed = _load_failed(error, request.path)
    mailbox.send(failed)
    return None
