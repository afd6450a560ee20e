"""Responses that are kept in memory, and their items, within a number and a size: the least recently used go.

They belong to the key that made them. Conversations share the items that they have in common, which count once.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import msgspec

MAX_RESPONSES = 500
MAX_BYTES = 64 << 20
_OVERHEAD = 200  # bytes of an item or a response beside its text


class _Identified(msgspec.Struct):
    id: str


_identified = msgspec.json.Decoder(_Identified)


@dataclass(frozen=True, eq=False)
class KeptItem:
    """An item as JSON, and its id in there."""

    id: str
    data: bytes

    @classmethod
    def of(cls, data: bytes) -> KeptItem:
        return cls(_identified.decode(data).id, data)


@dataclass(frozen=True)
class KeptResponse:
    """`document` is the JSON of the response; `input` are the items that it was made from, with those of the responses
    before it; `output` are its own."""

    document: bytes
    input: tuple[KeptItem, ...]
    output: tuple[KeptItem, ...]

    @property
    def items(self) -> tuple[KeptItem, ...]:
        """The conversation so far."""
        return self.input + self.output


class KeptResponses:
    def __init__(self, most: int = MAX_RESPONSES, most_bytes: int = MAX_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._responses: OrderedDict[tuple[str, str], KeptResponse] = OrderedDict()
        self._users: dict[tuple[str, KeptItem], int] = {}
        self._items: dict[tuple[str, str], KeptItem] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._responses)

    def keep(self, owner: str, identity: str, response: KeptResponse) -> None:
        """In place of one of the same id. The new one may go at once, if it is larger than all that may be kept."""
        self.delete(owner, identity)
        self._responses[owner, identity] = response
        self.size += _weight(response.document) + 8 * len(response.items)
        for item in response.items:
            key = (owner, item)
            users = self._users.get(key, 0)
            self._users[key] = users + 1
            if not users:
                self.size += _weight(item.data)
                self._items[owner, item.id] = item
        while self._responses and (len(self._responses) > self._most or self.size > self._most_bytes):
            self._forget(next(iter(self._responses)))

    def find(self, owner: str, identity: str) -> KeptResponse | None:
        found = self._responses.get((owner, identity))
        if found is not None:
            self._responses.move_to_end((owner, identity))
        return found

    def item(self, owner: str, identity: str) -> KeptItem | None:
        """The newest item of this id."""
        return self._items.get((owner, identity))

    def delete(self, owner: str, identity: str) -> bool:
        """Whether there was one. Responses that follow it keep what it said."""
        if (owner, identity) not in self._responses:
            return False
        self._forget((owner, identity))
        return True

    def _forget(self, key: tuple[str, str]) -> None:
        response = self._responses.pop(key)
        self.size -= _weight(response.document) + 8 * len(response.items)
        for item in response.items:
            self._release(key[0], item)

    def _release(self, owner: str, item: KeptItem) -> None:
        self._users[owner, item] -= 1
        if self._users[owner, item]:
            return
        del self._users[owner, item]
        self.size -= _weight(item.data)
        if self._items.get((owner, item.id)) is item:
            del self._items[owner, item.id]


def _weight(data: bytes) -> int:
    return len(data) + _OVERHEAD
