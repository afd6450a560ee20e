"""The child process of one job: `python -m mlx_serve.daemon.engine.quantize.main --fd N`, N one end of a socketpair.

It reads one Quantize frame, says how far it is, and ends with Quantized or JobFailed. The parent cancels by killing it.
"""

from __future__ import annotations

import errno
import os
import sys
import time

from ... import protocol
from ..mailbox import Mailbox
from ..process import import_mlx_lm, inherit

REPORT_SECONDS = 0.1
POOL_BYTES = 64 << 20
NICE = 10  # models that serve requests come first


def give_way() -> None:
    """Let models that serve requests go first on the processor.

    Not on macOS, where this computes on the same GPU as they do: there a process of lower priority beside others has
    met Metal's time limit for a command. It stays on the GPU, so that the result is what mlx-lm makes on that machine;
    its windows are small, and the steps of others run between them.
    """
    if sys.platform != "darwin":
        os.nice(NICE)


def main() -> None:
    give_way()
    mailbox = Mailbox(inherit())
    mailbox.start()
    order = mailbox.queue.get()
    if isinstance(order, protocol.Quantize):
        mailbox.send(_work(order, mailbox))
    sys.stdout.flush()
    os._exit(0)


def _work(order: protocol.Quantize, mailbox: Mailbox) -> protocol.Quantized | protocol.JobFailed:
    reported = 0.0

    def report(done: int, total: int) -> None:
        nonlocal reported
        now = time.monotonic()
        if done in (0, total) or now - reported >= REPORT_SECONDS:
            reported = now
            mailbox.send(protocol.Quantizing(done_bytes=done, total_bytes=total))

    try:
        import_mlx_lm()
        import mlx.core as mx

        from .conversion import quantize

        mx.set_cache_limit(POOL_BYTES)
        return quantize(order, report)
    except (Exception, SystemExit) as error:
        return _failure(order, error)


def _failure(order: protocol.Quantize, error: BaseException) -> protocol.JobFailed:
    from ..model.model_folder import BadModel, UnsupportedModel

    text = str(error).replace(order.path, "the model").replace(order.output, "the result")
    text = " ".join(text.split())[:300] or type(error).__name__
    match error:
        case BadModel():
            return protocol.JobFailed(code="bad_model", message=text)
        case UnsupportedModel():
            return protocol.JobFailed(code="unsupported", message=text)
        case SystemExit():
            return protocol.JobFailed(code="unsupported", message="its architecture needs a package that is missing")
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return protocol.JobFailed(code="no_space", message="the disk is full")
        case MemoryError():
            return protocol.JobFailed(code="insufficient_memory", message="this machine is out of memory")
        case ValueError() | KeyError() | TypeError() | AttributeError() | FileNotFoundError():
            unknown = "not supported" in text.lower() or "unsupported" in text.lower()
            return protocol.JobFailed(code="unsupported" if unknown else "bad_model", message=text)
        case RuntimeError() if text.startswith(("[read]", "[load", "[json")):
            return protocol.JobFailed(code="bad_model", message=f"the weight files cannot be read ({text[:200]})")
        case RuntimeError() if "memory" in text.lower() or "alloc" in text.lower():
            return protocol.JobFailed(code="insufficient_memory", message=text)
    return protocol.JobFailed(code="internal_error", message=f"{type(error).__name__}: {text}")


if __name__ == "__main__":
    main()
