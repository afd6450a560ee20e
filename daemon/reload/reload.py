"""Reads the settings again while the daemon runs, and hands what can change to those who hold it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ...store.errors import StoreError
from .. import store_threads
from ..logs.line import LineStyle
from ..settings.effective_settings import load_settings
from ..settings.renewal import Renewal, renew
from ..settings.schema import Settings
from ..settings.value import ConfigError
from .model_defaults import defaults, ineffective

if TYPE_CHECKING:
    from ...store.installed import Installed
    from ..context import Context
    from ..logs.sink import Logs

log = logging.getLogger("mlx_serve.daemon.reload")


@dataclass(frozen=True)
class Reloaded:
    """What came of it. `outdated` are in memory with another context than they would be loaded with now;
    `ineffective` is what does nothing of `models.settings`, by name, each with the reason."""

    renewal: Renewal
    outdated: Sequence[Installed]
    ineffective: Mapping[str, str]


async def warn_of_ineffective(context: Context) -> Mapping[str, str]:
    """As in Reloaded, and in the log. Such settings count as soon as there is a model of that name."""
    try:
        found = await store_threads.look(ineffective, context.store, context.settings.models.settings)
    except StoreError as error:
        log.warning("fail look for models of models.settings reason=%s", error)
        return {}
    for name, reason in found.items():
        log.warning("skip settings key=models.settings.%s reason=it %s", name, reason)
    return found


class Reload:
    """`flags` are those of this process's command line, which still come first; `started` what they and the rest came
    to at the start."""

    def __init__(self, context: Context, logs: Logs, flags: Mapping[str, Any], started: Settings) -> None:
        self._context = context
        self._logs = logs
        self._flags = dict(flags)
        self._started = started
        self._turn = asyncio.Lock()

    async def run(self) -> Reloaded:
        """Raises ConfigError, and then everything stays as it was."""
        async with self._turn:
            try:
                found = await asyncio.to_thread(load_settings, self._flags)
            except ConfigError as error:
                log.error("fail reload reason=%s", error)
                raise
            renewal = renew(self._context.settings, self._started, found)
            self._apply(renewal.settings)
            outdated = await self._renewed()
        log.info(
            "reload settings changed=%s restart=%s",
            ",".join(renewal.changed) or "none",
            ",".join(renewal.restart) or "none",
        )
        return Reloaded(renewal, outdated, await warn_of_ineffective(self._context))

    async def _renewed(self) -> list[Installed]:
        """Have the models in memory follow. Those that would be loaded in another way now."""
        try:
            return await self._context.residency.renew()
        except StoreError as error:
            log.warning("fail renew models in memory reason=%s", error)
            return []

    async def on_signal(self) -> None:
        """The same for SIGHUP: the log says what came of it."""
        try:
            await self.run()
        except ConfigError:
            return

    def _apply(self, settings: Settings) -> None:
        context = self._context
        context.settings = settings
        context.store.configure(settings.models.aliases, defaults(settings.models.settings))
        context.residency.configure(settings)
        context.fetcher.private = settings.models.fetch_private_images
        logging = settings.logging
        self._logs.configure(logging.level, cast(LineStyle, logging.format), settings.server.api_keys)
