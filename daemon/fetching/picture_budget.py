"""How many bytes of pictures all requests hold together: sent along or fetched, until each request has its answer."""

from __future__ import annotations

from ..errors import FetchBusy, FetchRefused
from .fetch_limits import MIB


class PictureBudget:
    """`held` of `limit` bytes are in use."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def share(self) -> PictureShare:
        return PictureShare(self)


class PictureShare:
    """What one request holds, and gives back with `release`."""

    def __init__(self, budget: PictureBudget) -> None:
        self._budget = budget
        self.held = 0

    def take(self, count: int) -> None:
        """Raises FetchBusy when all requests together hold too much."""
        self.held += count
        self._budget.held += count
        if self._budget.held > self._budget.limit:
            raise FetchBusy

    def release(self) -> None:
        self._budget.held -= self.held
        self.held = 0


class FetchedSize:
    """The bytes that one request fetches, `most` at most. Raises FetchRefused beyond."""

    def __init__(self, share: PictureShare, most: int) -> None:
        self._share = share
        self._most = most
        self._taken = 0

    def take(self, count: int) -> None:
        self._taken += count
        self._share.take(count)
        if self._taken > self._most:
            raise FetchRefused(
                f"the pictures of this request are larger than {self._most // MIB} MiB together; "
                "server.max_body_mb is the limit"
            )
