"""What this worker remembers of legacy sessions: when they were used last, and what they asked for.

The id carries the session itself (`listeners.mcp_session`), so that any worker can serve it
and a restart loses none; here is only what may be forgotten. A session that nobody
used for the idle time is over; a caller with too many loses the one it used least recently.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from agent_gateway.ports import Clock
from agent_gateway.runtime.counting import RecentSet

MAX_REMEMBERED = 100_000
MAX_ENDED = 100_000


def key_of(session_id: str) -> bytes:
    """Return the short name of a session here; ids are long."""
    return hashlib.blake2b(session_id.encode(), digest_size=16).digest()


@dataclass(slots=True, eq=False)
class SessionState:
    """One session as this worker knows it.

    log_level  the least severe log message it asked for (`logging/setLevel`)
    told_at    when the other workers heard last that it is used
    """

    owner: Hashable
    used_at: float
    told_at: float = 0.0
    log_level: str | None = None


class Sessions:
    """The sessions of this worker, those used least recently first.

    idle_s, limit  asked each time: the configuration may change
    """

    def __init__(self, clock: Clock, idle_s: Callable[[], float], limit: Callable[[], int]) -> None:
        self._clock = clock
        self._idle_s = idle_s
        self._limit = limit
        self._began_at = clock()
        self._known: OrderedDict[bytes, SessionState] = OrderedDict()
        self._owned: dict[Hashable, OrderedDict[bytes, None]] = {}
        self._ended = RecentSet(MAX_ENDED)

    def __len__(self) -> int:
        return len(self._known)

    def use(self, owner: Hashable, key: bytes, minted_at: float) -> SessionState | None:
        """Return the session and note that it is used; None when it has ended or nobody used it for too long.

        minted_at  what this worker goes by for one it has not heard of; a restart counts as a use
        """
        if self._ended.has(key):
            return None
        now = self._clock()
        state = self._known.get(key)
        if state is None:
            if now - max(minted_at, self._began_at) > self._idle_s():
                return None
            return self._add(owner, key, now)
        if now - state.used_at > self._idle_s():
            self.end(key)
            return None
        state.used_at = now
        self._known.move_to_end(key)
        self._owned[owner].move_to_end(key)
        return state

    def end(self, key: bytes) -> None:
        """The session opens nothing from now on."""
        self._ended.add(key)
        self._forget(key)

    def expire(self) -> None:
        """Forget the sessions that nobody used for the idle time."""
        oldest = self._clock() - self._idle_s()
        while self._known:
            key, state = next(iter(self._known.items()))
            if state.used_at > oldest:
                return
            self.end(key)

    def _add(self, owner: Hashable, key: bytes, now: float) -> SessionState:
        state = self._known[key] = SessionState(owner, now)
        owned = self._owned.setdefault(owner, OrderedDict())
        owned[key] = None
        if len(owned) > self._limit():
            self.end(next(iter(owned)))
        if len(self._known) > MAX_REMEMBERED:
            self._forget(next(iter(self._known)))
        return state

    def _forget(self, key: bytes) -> None:
        state = self._known.pop(key, None)
        if state is None:
            return
        owned = self._owned[state.owner]
        del owned[key]
        if not owned:
            del self._owned[state.owner]
