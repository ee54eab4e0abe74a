"""Small bounded memories of one worker: who runs how much, what ended, what changed."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable


class Tally:
    """How many things each key has running; a key with none is forgotten."""

    def __init__(self) -> None:
        self._counts: dict[Hashable, int] = {}

    def enter(self, key: Hashable, limit: int) -> bool:
        """Count one more unless `limit` are running already; say whether it was counted."""
        count = self._counts.get(key, 0)
        if count >= limit:
            return False
        self._counts[key] = count + 1
        return True

    def leave(self, key: Hashable) -> None:
        """Count one less."""
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]

    @property
    def total(self) -> int:
        """How many are running in all."""
        return sum(self._counts.values())


class RecentSet:
    """The last `limit` things that were added."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: OrderedDict[Hashable, None] = OrderedDict()

    def add(self, item: Hashable) -> None:
        """Remember one more; the oldest is forgotten beyond the limit."""
        self._items[item] = None
        if len(self._items) > self._limit:
            self._items.popitem(last=False)

    def has(self, item: Hashable) -> bool:
        """Say whether it is remembered."""
        return item in self._items


class Changes:
    """A bell that many may wait for at once."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    def next_change(self) -> "asyncio.Future[None]":
        """Return a future that is done at the next `ring`; shared, so never cancel it."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return self._next

    def ring(self) -> None:
        """Wake everyone who waits."""
        waiting, self._next = self._next, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
