"""From the name in a request to an installed model, by way of the hub where the settings allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...store.errors import UnknownModel
from .. import store_threads
from ..errors import QueueFull
from ..tasks.pulls import PullOrder, downloadable

if TYPE_CHECKING:
    from ...store.store import Installed, Store
    from ..settings.schema import Settings
    from ..tasks.pulls import Pulls

_RETRY_SECONDS = 60


class Resolver:
    """`pulls` None: nothing is downloaded."""

    def __init__(self, settings: Settings, store: Store, pulls: Pulls | None) -> None:
        self._settings = settings
        self._store = store
        self._pulls = pulls
        self._waiting = 0
        self._looks = store_threads.SharedLooks(self._look)
        self._moved: dict[str, str] = {}  # what repositories were called -> what the hub calls them now

    def configure(self, settings: Settings) -> None:
        self._settings = settings

    async def find(self, name: str) -> Installed:
        """Raises what `store.find` and a pull raise, and QueueFull when too many wait for pulls already."""
        while True:
            ended = 0 if self._pulls is None else self._pulls.ended
            try:
                return await self._looks.get(name)
            except UnknownModel:
                models = self._settings.models
                source = downloadable(name, models.aliases) if models.auto_download else None
                if source is None or self._pulls is None:
                    raise
            if self._pulls.ended == ended:  # else it may have come since the look began
                break
        if self._waiting >= self._settings.engine.max_batch + self._settings.server.max_queue:
            raise QueueFull(_RETRY_SECONDS)
        self._waiting += 1
        try:
            model = await self._pulls.run(PullOrder(source))
        finally:
            self._waiting -= 1
        self._moved[name.lower()] = model.name.display()
        return model

    def _look(self, name: str) -> Installed:
        try:
            return self._store.find(name)
        except UnknownModel:
            if (now := self._moved.get(name.lower())) is None:
                raise
            return self._store.find(now)
