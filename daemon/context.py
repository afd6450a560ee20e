"""What a handler may see of the daemon: one value on each Sanic app's `ctx.serving`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .keep_awake import KeepAwake
from .requests.registry import Requests

if TYPE_CHECKING:
    from ..store.store import Store
    from .fetching.fetcher import Fetcher
    from .metrics import Metrics
    from .residency.residency import Residency
    from .settings.schema import Settings
    from .tasks.pulls import Pulls
    from .tasks.quantizing import Quantizer


@dataclass
class Context:
    """`started` is a Unix time; `draining` turns true once, when the daemon begins to stop; `open_requests` counts
    those that have not been answered yet; `instance` is this run's own random name, by which `start` knows that it is
    this daemon that answers at an address."""

    settings: Settings
    store: Store
    residency: Residency
    metrics: Metrics
    started: float
    version: str
    draining: bool = False
    open_requests: int = 0
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    pulls: Pulls = field(kw_only=True)
    quantizing: Quantizer = field(kw_only=True)
    fetcher: Fetcher = field(kw_only=True)
    requests: Requests = field(default_factory=Requests, kw_only=True)
    keep_awake: KeepAwake = field(default_factory=KeepAwake, kw_only=True)
