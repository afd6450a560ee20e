"""Makes a quantized model of an installed one: checks the order, runs the job, adds the result to the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...store.disk.manifests import Quantization
from ...store.errors import DamagedModel, SourceError, UnsupportedModel
from ...store.inspect.weights import Tensor, read_header
from ...store.names import Name
from ...store.progress import Progress, Report
from .. import protocol, store_threads
from ..errors import DaemonError, InsufficientMemory, RequestRejected
from ..workers.job import JOB, Ended, run_job
from .shared_task import in_thread

if TYPE_CHECKING:
    from ...store.store import Installed, Store
    from ..settings.schema import Settings

T = TypeVar("T")

_ENTIRE = ("vision", "visual", "audio")
_SCALE_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class _Mode:
    """What MLX can do in one mode; the defaults are mlx-lm's."""

    bits: tuple[int, ...]
    group_sizes: tuple[int, ...]
    default: tuple[int, int]


_MODES: Mapping[str, _Mode] = {
    "affine": _Mode((2, 3, 4, 5, 6, 8), (32, 64, 128), (4, 64)),
    "mxfp4": _Mode((4,), (32,), (4, 32)),
    "nvfp4": _Mode((4,), (16,), (4, 16)),
    "mxfp8": _Mode((8,), (32,), (8, 32)),
}


@dataclass(frozen=True)
class QuantizeOrder:
    """Which model, how, and the name of the result. None: the mode's own bits and group size, the usual name."""

    name: str
    bits: int | None = None
    group_size: int | None = None
    mode: str = "affine"
    target: str | None = None


def check(bits: int | None, group_size: int | None, mode: str) -> Quantization:
    """The settings in full. Raises RequestRejected for what no model can be quantized to."""
    if mode not in _MODES:
        raise _wrong("mode", f"there is no quantization mode {mode[:40]!r}: choose {_either(list(_MODES))}")
    known = _MODES[mode]
    bits = known.default[0] if bits is None else bits
    group_size = known.default[1] if group_size is None else group_size
    if bits not in known.bits:
        raise _wrong("bits", f"mode {mode} supports {_either(known.bits)} bits, not {bits}")
    if group_size not in known.group_sizes:
        raise _wrong("group_size", f"mode {mode} supports group sizes {_either(known.group_sizes)}, not {group_size}")
    return Quantization(bits=bits, group_size=group_size, mode=mode)


def target_name(installed: Installed, order: QuantizeOrder) -> str:
    """The default name of the result: `owner/NAME-4bit`, or `owner/NAME-mxfp4`."""
    return name_after(installed.name, check(order.bits, order.group_size, order.mode)).display()


def name_after(name: Name, settings: Quantization) -> Name:
    """The usual name of what is made of a model of that name."""
    ending = f"{settings.bits}bit" if settings.mode == "affine" else settings.mode
    return Name(name.owner, f"{name.model}-{ending}", name.tag)


class Quantizer:
    """Runs orders, each in a child of its own."""

    def __init__(self, settings: Settings, store: Store, command: Sequence[str] = JOB) -> None:
        self._settings = settings
        self._store = store
        self._command = command

    async def run(self, order: QuantizeOrder, report: Report) -> Installed:
        """The new model. Cancelled, or when `report` raises, the child is killed and nothing is left on disk.

        `report` is called on the loop, and from a thread while the result is being stored.

        Raises RequestRejected, UnsupportedModel, NoSpace, JobDied and other StoreErrors and DaemonErrors.
        """
        settings = check(order.bits, order.group_size, order.mode)
        async with AsyncExitStack() as stack:
            # From before it is looked up: a model that is removed in the meantime keeps its files until this is done.
            await _enter(stack, self._store.unswept())
            source = await store_threads.look(self._store.find, order.name)
            target = _target(source, order)
            _check_source(source)
            report(Progress("quantizing"))
            folder = await store_threads.work(self._store.view, source)
            needed = await in_thread(partial(_estimate, source, folder, settings), "quantize")
            output = await _enter(stack, self._store.workspace(needed))
            ended = await run_job(_frame(source, folder, output, settings), partial(_forward, report), self._command)
            written = self._checked(source, ended)
            made = await self._adopt(output, target, source, written.weight_bytes, report)
        report(Progress("success", f"sha256:{made.digest}"))
        return made

    async def _adopt(self, output: Path, target: str, source: Installed, size: int, report: Report) -> Installed:
        def forward(done: int) -> None:
            report(Progress("writing manifest", completed=min(done, size), total=size))

        forward(0)
        return await in_thread(partial(self._store.adopt, output, name=target, parent=source, report=forward), "adopt")

    def _checked(self, source: Installed, ended: Ended) -> protocol.Quantized:
        """Raises the error that stands for what the child reports."""
        if isinstance(ended, protocol.Quantized):
            return ended
        sentence = f"{source.name.display()} cannot be quantized: {ended.message}"
        match ended.code:
            case "unsupported":
                raise UnsupportedModel(sentence)
            case "bad_model":
                raise DamagedModel(sentence, hint="run `mlx-serve verify`, or pull the model again")
            case "no_space":
                raise self._store.no_space()
            case "insufficient_memory":
                raise InsufficientMemory(sentence)
        raise DaemonError(sentence)


def _wrong(field: str, sentence: str) -> RequestRejected:
    return RequestRejected("invalid_request", sentence, field)


def _either(values: Collection[object]) -> str:
    *most, last = (str(value) for value in values)
    return f"{', '.join(most)} or {last}" if most else f"{last}"


def _target(source: Installed, order: QuantizeOrder) -> str:
    target = order.target if order.target is not None else target_name(source, order)
    if Name.parse(target) == source.name:
        raise SourceError(
            f"the quantized model cannot take the name of the one it is made from, {source.name.display()}",
            hint="choose another name, or leave it out",
        )
    return target


def _check_source(source: Installed) -> None:
    there = source.manifest.quantization
    if there is not None:
        raise UnsupportedModel(
            f"{source.name.display()} is quantized already ({there.bits} bits, {there.mode})",
            hint="quantize the full model instead; quantizing twice only adds errors",
        )


def _estimate(source: Installed, folder: Path, settings: Quantization) -> int:
    """Bytes of the result, almost exactly; reads the headers of the weights. A workspace's reserve covers the rest."""
    total = 1 << 20
    for layer in source.manifest.layers:
        if "/" not in layer.path and layer.path.endswith(".safetensors"):
            for name, tensor in read_header(folder / layer.path, layer.path).items():
                total += _size(name, tensor, settings)
    return total


def _size(name: str, tensor: Tensor, settings: Quantization) -> int:
    width = {"F32": 4, "F64": 8}.get(tensor.dtype, 2)
    divisible = len(tensor.shape) > 1 and tensor.shape[-1] % settings.group_size == 0
    if tensor.dtype not in _SCALE_BYTES or not divisible or any(part in name for part in _ENTIRE):
        return tensor.elements * width
    beside = 2 * _SCALE_BYTES[tensor.dtype] if settings.mode == "affine" else 1
    return tensor.elements * settings.bits // 8 + tensor.elements // settings.group_size * beside


def _frame(source: Installed, folder: Path, output: Path, settings: Quantization) -> protocol.Quantize:
    return protocol.Quantize(
        path=str(folder),
        output=str(output),
        kind=source.manifest.kind,
        bits=settings.bits,
        group_size=settings.group_size,
        mode=settings.mode,
    )


def _forward(report: Report, news: protocol.Quantizing) -> None:
    done, total = news.done_bytes, news.total_bytes
    report(Progress("quantizing", completed=done, total=total, overall_completed=done, overall_total=total))


async def _enter(stack: AsyncExitStack, context: AbstractContextManager[T]) -> T:
    """Enter in a thread what may wait for a lock, and leave it in one. Cancelled on the way in, it is left again."""
    inner = ExitStack()

    async def leave() -> None:
        await in_thread(inner.close, "workspace")

    stack.push_async_callback(leave)
    return await in_thread(partial(inner.enter_context, context), "workspace")
