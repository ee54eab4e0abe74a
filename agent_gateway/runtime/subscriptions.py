"""Who wants to hear of which resource, and one listening per upstream and caller behind them all.

However many streams of a caller watch an upstream's resources, the upstream is listened to once, in that
caller's name; the listening begins anew when what is watched changes, and ends with the last watcher.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Raw

from agent_gateway.ports import Listen, McpUpstream
from gateway_policies.principal import Principal
from mcp_registry.protocol import tasks
from mcp_registry.protocol.subscriptions import UPDATED, updated_uri

Updated = Callable[[Raw], None]  # gets the raw params of the notification; must not block
_Key = tuple[str, tuple[str, str, str, str]]
_What = tuple[str, str]  # ("uri", …) or ("task", …)


@dataclass(slots=True, eq=False)
class _Listening:
    """One listening: who watches what, by the upstream's own URIs and ids of tasks."""

    principal: Principal
    upstream: McpUpstream
    watchers: dict["_What", list[Updated]] = field(default_factory=dict["_What", list[Updated]])
    task: asyncio.Task[None] | None = None


class Subscriptions:
    """Every listening of this worker.

    find  gives the upstream of a name, None when there is none any more
    """

    def __init__(self, find: Callable[[str], McpUpstream | None]) -> None:
        self._find = find
        self._open: dict[_Key, _Listening] = {}
        self._due: set[_Key] = set()

    def __len__(self) -> int:
        return len(self._open)

    def watch(self, principal: Principal, upstream: str, uri: str, updated: Updated) -> Callable[[], None]:
        """Call `updated` when the resource changes, or one below it; return what ends that, once."""
        return self._watch(principal, upstream, ("uri", uri), updated)

    def follow(self, principal: Principal, upstream: str, task: str, updated: Updated) -> Callable[[], None]:
        """Call `updated` with what the upstream tells of a task of its own; return what ends that, once."""
        return self._watch(principal, upstream, ("task", task), updated)

    def _watch(self, principal: Principal, upstream: str, what: _What, updated: Updated) -> Callable[[], None]:
        key = (upstream, principal.key)
        listening = self._open.get(key)
        if listening is None:
            found = self._find(upstream)
            if found is None:
                return _nothing
            listening = self._open[key] = _Listening(principal, found)
        watchers = listening.watchers.setdefault(what, [])
        watchers.append(updated)
        if len(watchers) == 1:
            self._renew_soon(key)
        return lambda: self._unwatch(key, what, updated)

    def renew(self) -> None:
        """Listen anew where an upstream was replaced; forget those that are gone."""
        for key, listening in list(self._open.items()):
            found = self._find(key[0])
            if found is None:
                self._end(key)
            elif found is not listening.upstream:
                listening.upstream = found
                self._renew_soon(key)

    def close(self) -> None:
        """End every listening."""
        for key in list(self._open):
            self._end(key)

    def _unwatch(self, key: _Key, what: _What, updated: Updated) -> None:
        listening = self._open.get(key)
        watchers = None if listening is None else listening.watchers.get(what)
        if listening is None or watchers is None or updated not in watchers:
            return
        watchers.remove(updated)
        if watchers:
            return
        del listening.watchers[what]
        if listening.watchers:
            self._renew_soon(key)
        else:
            self._end(key)

    def _renew_soon(self, key: _Key) -> None:
        """Listen anew at the end of this round of the loop: many changes at once are one."""
        if key not in self._due:
            self._due.add(key)
            asyncio.get_running_loop().call_soon(self._renew, key)

    def _renew(self, key: _Key) -> None:
        self._due.discard(key)
        listening = self._open.get(key)
        if listening is None or not listening.watchers:
            return
        if listening.task is not None:
            listening.task.cancel()
        uris, tasks_ = (frozenset(name for kind, name in listening.watchers if kind == one) for one in ("uri", "task"))
        wanted = Listen(listening.principal, uris=uris, tasks=tasks_)

        def heard(method: str, params: Raw | None) -> None:
            if method == UPDATED and params is not None:
                _tell(listening, params)
            elif method == tasks.CHANGED and params is not None:
                _tell_task(listening, params)

        task = asyncio.get_running_loop().create_task(listening.upstream.listen(wanted, heard))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        listening.task = task

    def _end(self, key: _Key) -> None:
        listening = self._open.pop(key)
        if listening.task is not None:
            listening.task.cancel()


def _tell(listening: _Listening, params: Raw) -> None:
    changed = updated_uri(params)
    if changed is None:
        return
    for (kind, uri), watchers in list(listening.watchers.items()):
        if kind == "uri" and (changed == uri or changed.startswith(uri.rstrip("/") + "/")):
            for updated in list(watchers):
                updated(params)


def _tell_task(listening: _Listening, params: Raw) -> None:
    try:
        task = tasks.read_task(params)
    except ValueError:
        return
    for updated in list(listening.watchers.get(("task", task.id), ())):
        updated(params)


def _nothing() -> None:
    """Nothing was begun, so nothing ends."""
