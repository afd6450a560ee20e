"""Reads the settings again while the daemon runs, and hands what can change to those who hold it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ..logs.line import LineStyle
from ..settings.renewal import Renewal, renew
from ..settings.schema import ConfigError, Settings, load_settings

if TYPE_CHECKING:
    from ..context import Context
    from ..logs.sink import Logs

log = logging.getLogger("mlx_serve.daemon.reload")


class Reload:
    """`flags` are those of this process's command line, which still come first; `started` what they and the rest came
    to at the start."""

    def __init__(self, context: Context, logs: Logs, flags: Mapping[str, Any], started: Settings) -> None:
        self._context = context
        self._logs = logs
        self._flags = dict(flags)
        self._started = started
        self._turn = asyncio.Lock()

    async def run(self) -> Renewal:
        """Raises ConfigError, and then everything stays as it was."""
        async with self._turn:
            try:
                found = await asyncio.to_thread(load_settings, self._flags)
            except ConfigError as error:
                log.error("fail reload reason=%s", error)
                raise
            renewal = renew(self._context.settings, self._started, found)
            self._apply(renewal.settings)
        log.info(
            "reload settings changed=%s restart=%s",
            ",".join(renewal.changed) or "none",
            ",".join(renewal.restart) or "none",
        )
        return renewal

    async def on_signal(self) -> None:
        """The same for SIGHUP: the log says what came of it."""
        try:
            await self.run()
        except ConfigError:
            return

    def _apply(self, settings: Settings) -> None:
        context = self._context
        context.settings = settings
        context.store.set_aliases(settings.models.aliases)
        context.residency.configure(settings)
        context.fetcher.private = settings.models.fetch_private_images
        logging = settings.logging
        self._logs.configure(logging.level, cast(LineStyle, logging.format), settings.server.api_keys)
