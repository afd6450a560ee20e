"""Puts the daemon together: settings, lock, logs, sockets, store, residency, two apps, signals, drain.

`python -m mlx_serve.daemon.main` runs it in the foreground. It exits with 0 after a drain, 1 when it cannot start, 75
when a daemon of this home and port is running already, 78 when its settings are at fault.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .http.listen import ListenError
from .port_lock import AlreadyRunning
from .reload.hang_up import HangUp
from .reload.reload import Reload, warn_of_ineffective
from .settings.effective_settings import load_settings
from .settings.schema import FLAGS, Settings
from .settings.value import ConfigError
from .startup import Resources, StartError, acquire_resources

if TYPE_CHECKING:
    from .context import Context
    from .drain import Stop
    from .http.app import App
    from .notify import Notifier

_DESCRIPTORS = 10_240

log = logging.getLogger("mlx_serve.daemon.main")

Compose = Callable[[Settings, float], "Context"]


def compose(settings: Settings, started: float) -> Context:
    """The real parts. Raises StoreError."""
    from .. import __version__
    from ..store.store import Store
    from .context import Context
    from .fetching.fetcher import Fetcher
    from .keep_awake import KeepAwake, assertion
    from .metrics import Metrics
    from .reload.model_defaults import defaults
    from .residency.residency import Residency
    from .tasks.pulls import Pulls
    from .tasks.quantizing import Quantizer

    store = Store.open(settings.models.directory, settings.models.aliases)
    store.configure(settings.models.aliases, defaults(settings.models.settings))
    quantizing = Quantizer(settings, store)
    keep_awake = KeepAwake(assertion() if settings.server.prevent_sleep else ())
    pulls = Pulls(store, quantizing, lambda: residency.in_use, keep_awake=keep_awake)
    residency = Residency(settings, store, pulls=pulls, keep_awake=keep_awake)
    return Context(
        settings=settings,
        store=store,
        residency=residency,
        metrics=Metrics(settings.metrics.enabled),
        started=started,
        version=__version__,
        pulls=pulls,
        quantizing=quantizing,
        fetcher=Fetcher(private=settings.models.fetch_private_images, version=__version__),
        keep_awake=keep_awake,
    )


def build_apps(context: Context, stop: Stop) -> tuple[App, App]:
    """The app on TCP and the one on the control socket."""
    from ..control.server import api
    from ..handlers import routes
    from .http.app import build_app

    public = build_app("public", context, control=False)
    routes.register(public, control=False)
    control = build_app("control", context, control=True)
    routes.register(control, control=True)
    api.register(control)
    for app in (public, control):
        app.ctx.shutdown = stop.request
    return public, control


def main(argv: Sequence[str] | None = None, *, make: Compose = compose) -> int:
    began, started = time.perf_counter(), time.time()
    gc.disable()  # until it serves: what is made by then stays
    flags = _flags(argv)
    try:
        settings = load_settings(flags)
    except ConfigError as error:
        return _print_error(error, os.EX_CONFIG)
    from ..store.errors import StoreError, with_hint

    with contextlib.ExitStack() as stack:
        try:
            resources = acquire_resources(settings, stack)
            context = make(resources.settings, started)
        except AlreadyRunning as error:
            return _print_error(error, os.EX_TEMPFAIL)
        except (StartError, ListenError) as error:
            return _print_error(error, 1)
        except StoreError as error:
            return _print_error(with_hint(str(error), getattr(error, "hint", None)), 1)
        loop = _new_loop()
        try:
            loop.run_until_complete(_run(context, resources, began, Reload(context, resources.logs, flags, settings)))
        except Exception as error:
            log.exception("fail daemon")
            return _print_error(f"internal error in the daemon ({type(error).__name__}); see its log", 1)
        finally:
            _close(loop)
    return 0


def _flags(argv: Sequence[str] | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="mlx-serve daemon", description="Run the daemon in the foreground.")
    parser.add_argument("--config", metavar="FILE")
    for key, flag in FLAGS.items():
        parser.add_argument(flag, dest=key, metavar="VALUE", action="append" if key == "models.preload" else "store")
    return {key: value for key, value in vars(parser.parse_args(argv)).items() if value is not None}


def _print_error(reason: object, code: int) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"mlx-serve: {reason}\n")
        sys.stderr.flush()
    return code


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed; MLX_SERVE_LOOP=asyncio or uvloop decides."""
    wanted = os.environ.get("MLX_SERVE_LOOP", "")
    if wanted != "asyncio":
        try:
            import uvloop
        except ImportError:
            if wanted == "uvloop":
                raise
        else:
            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            asyncio.set_event_loop(loop)
            return loop
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


async def _run(context: Context, resources: Resources, began: float, reload: Reload) -> None:
    from .drain import Stop, drain
    from .http.server import serve
    from .notify import Notifier

    loop = asyncio.get_running_loop()
    stop, notifier = Stop(), Notifier()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.request)

    async def announced_reload() -> None:
        with notifier.reloading():
            await reload.on_signal()

    hang_up = HangUp(stop.request, announced_reload)
    loop.add_signal_handler(signal.SIGHUP, hang_up.received)
    loop.add_signal_handler(signal.SIGUSR1, resources.logs.reopen)
    _raise_descriptor_limit()
    public_app, control_app = build_apps(context, stop)
    control_app.ctx.reload = reload.run
    public, control = await serve(public_app, *resources.tcp), await serve(control_app, resources.unix)
    gc.freeze()  # a full collection would look at all that is here by now, for 50 ms in which no stream goes on
    gc.enable()
    log.info(
        "serve requests address=%s pid=%d ready_ms=%d loop=%s",
        _address(resources.tcp[0]),
        os.getpid(),
        (time.perf_counter() - began) * 1000,
        type(loop).__module__.partition(".")[0],
    )
    notifier.ready()
    background = [asyncio.create_task(_warm(context)), asyncio.create_task(_sweep())]
    # It goes on while the daemon drains, which may take longer than systemd waits for a sign of life.
    watchdog = asyncio.create_task(_watchdog(notifier))
    await stop.asked.wait()
    for task in background:
        task.cancel()
    await drain(context, public, control, stop, notifier)
    watchdog.cancel()
    log.info("stop daemon pid=%d", os.getpid())


async def _warm(context: Context) -> None:
    """Start the spare child, then load the models of `models.preload`."""
    await context.residency.start()
    await warn_of_ineffective(context)
    for name in context.settings.models.preload:
        try:
            await context.residency.load(await context.residency.find(name))
        except Exception as error:
            log.error("fail preload name=%s reason=%s", name, error)
        else:
            log.info("preload model name=%s", name)


async def _sweep() -> None:
    """Remove temporary folders of daemons and children that were killed."""
    from ..store.disk import scratch

    if swept := await asyncio.to_thread(scratch.sweep, scratch.CHILD, scratch.VIEWS):
        log.info("sweep temporary folders count=%d", swept)


async def _watchdog(notifier: Notifier) -> None:
    """Sent by the loop itself, so that a stuck loop stops sending."""
    while notifier.watchdog_seconds:
        notifier.alive()
        await asyncio.sleep(notifier.watchdog_seconds)


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_descriptor_limit() -> None:
    """macOS allows 256 at first; each connection is one."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks that are left, without waiting for threads that may never end."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=1))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()


if __name__ == "__main__":
    code = main()
    # A thread that hashes gigabytes would be waited for here; everything worth keeping is on disk by now.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
