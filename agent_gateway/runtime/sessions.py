"""What this worker remembers of legacy sessions: when they were used last, and what they asked for.

The id carries the session itself (`listeners.mcp_session`), so that any worker can serve it
and a restart loses none; here is only what may be forgotten. A session that nobody
used for the idle time is over; a caller with too many loses the one it used least recently.
The other workers hear of what must hold at all of them.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from agent_gateway.ports import Clock
from agent_gateway.runtime.counting import Changes, RecentSet
from agent_gateway.runtime.siblings import Siblings

MAX_REMEMBERED = 100_000
MAX_ENDED = 100_000
MAX_TASKS = 64  # of one session that its standing stream tells of
Owner = tuple[str, str, str, str]  # a principal's key


def key_of(session_id: str) -> bytes:
    """Return the short name of a session here; ids are long."""
    return hashlib.blake2b(session_id.encode(), digest_size=16).digest()


@dataclass(slots=True, eq=False)
class SessionState:
    """One session as this worker knows it.

    log_level  the least severe log message it asked for (`logging/setLevel`)
    told_at    when the other workers heard last that it is used
    uris       the resources it watches (`resources/subscribe`)
    tasks      those begun in it at this worker, newest last
    bell       rings when those change, once a standing stream is open here
    """

    owner: Owner
    used_at: float
    told_at: float = 0.0
    log_level: str | None = None
    uris: set[str] = field(default_factory=set[str])
    tasks: dict[str, None] = field(default_factory=dict[str, None])
    bell: Changes | None = None


class Sessions:
    """The sessions of this worker, those used least recently first.

    idle_s, limit  asked each time: the configuration may change
    """

    def __init__(self, clock: Clock, siblings: Siblings, idle_s: Callable[[], float], limit: Callable[[], int]) -> None:
        self._clock = clock
        self._siblings = siblings
        siblings.on("session.used", self._used_elsewhere)
        siblings.on("session.ended", self._ended_elsewhere)
        siblings.on("session.level", self._level_elsewhere)
        siblings.on("session.watch", self._watch_elsewhere)
        self._idle_s = idle_s
        self._limit = limit
        self._began_at = clock()
        self._known: OrderedDict[bytes, SessionState] = OrderedDict()
        self._owned: dict[Owner, OrderedDict[bytes, None]] = {}
        self._ended = RecentSet(MAX_ENDED)

    def __len__(self) -> int:
        return len(self._known)

    def use(self, owner: Owner, key: bytes, minted_at: float) -> SessionState | None:
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
            state = self._add(owner, key, now)
        if now - state.used_at > self._idle_s():
            self.end(key)
            return None
        self._touch(key, state, now)
        if now - state.told_at > self._idle_s() / 4:
            state.told_at = now
            self._siblings.tell("session.used", key.hex(), _written(owner))
        return state

    def set_level(self, key: bytes, state: SessionState, level: str) -> None:
        """The client of this session wants log messages from `level` on."""
        state.log_level = level
        self._siblings.tell("session.level", key.hex(), _written(state.owner), level)

    def watch(self, key: bytes, state: SessionState, uri: str, is_wanted: bool) -> None:
        """The client of this session wants to hear of a resource, or no more."""
        _watch(state, uri, is_wanted)
        self._siblings.tell("session.watch", key.hex(), _written(state.owner), uri, "1" if is_wanted else "")

    def note_task(self, key: bytes, task_id: str) -> None:
        """The session began a task: its standing stream tells how it goes."""
        state = self._known.get(key)
        if state is None:
            return
        state.tasks[task_id] = None
        if len(state.tasks) > MAX_TASKS:
            del state.tasks[next(iter(state.tasks))]
        if state.bell is not None:
            state.bell.ring()

    def end(self, key: bytes) -> None:
        """The session opens nothing from now on."""
        self._end(key)
        self._siblings.tell("session.ended", key.hex())

    def expire(self) -> None:
        """Forget the sessions that nobody used for the idle time."""
        oldest = self._clock() - self._idle_s()
        while self._known:
            key, state = next(iter(self._known.items()))
            if state.used_at > oldest:
                return
            self._end(key)

    def _used_elsewhere(self, key_hex: str, owner: str) -> None:
        key, now = bytes.fromhex(key_hex), self._clock()
        if not self._ended.has(key):
            state = self._known.get(key) or self._add(_OWNER.decode(owner), key, now)
            state.told_at = now
            self._touch(key, state, now)

    def _ended_elsewhere(self, key_hex: str) -> None:
        self._end(bytes.fromhex(key_hex))

    def _level_elsewhere(self, key_hex: str, owner: str, level: str) -> None:
        self._used_elsewhere(key_hex, owner)
        state = self._known.get(bytes.fromhex(key_hex))
        if state is not None:
            state.log_level = level

    def _watch_elsewhere(self, key_hex: str, owner: str, uri: str, is_wanted: str) -> None:
        self._used_elsewhere(key_hex, owner)
        state = self._known.get(bytes.fromhex(key_hex))
        if state is not None:
            _watch(state, uri, bool(is_wanted))

    def _touch(self, key: bytes, state: SessionState, now: float) -> None:
        state.used_at = now
        self._known.move_to_end(key)
        self._owned[state.owner].move_to_end(key)

    def _end(self, key: bytes) -> None:
        self._ended.add(key)
        self._forget(key)

    def _add(self, owner: Owner, key: bytes, now: float) -> SessionState:
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
        if state.bell is not None:
            state.bell.ring()  # its stream ends
        owned = self._owned[state.owner]
        del owned[key]
        if not owned:
            del self._owned[state.owner]


def _watch(state: SessionState, uri: str, is_wanted: bool) -> None:
    if is_wanted:
        state.uris.add(uri)
    else:
        state.uris.discard(uri)
    if state.bell is not None:
        state.bell.ring()


def _written(owner: Owner) -> str:
    return msgspec.json.encode(owner).decode()


_OWNER = msgspec.json.Decoder(Owner)
