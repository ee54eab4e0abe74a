"""Pinning: what of an upstream's lists is withheld, by what was approved.

Runs in a worker thread: it reads and writes the store of pins.
"""

from collections.abc import Mapping, Sequence

from agent_gateway.ports import Clock
from agent_gateway.stores.pin_store import Pinned, PinStore
from mcp_registry.definitions import Definition, Finding
from mcp_registry.protocol.lists import ItemKind
from mcp_registry.quarantine import Held, Judged, Mode, judge


class Pinning:
    """The approved definitions of all upstreams, as the catalogue asks for them."""

    def __init__(self, store: PinStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def withheld(
        self, upstream: str, definitions: Mapping[ItemKind, Sequence[Definition]], mode: Mode
    ) -> tuple[dict[ItemKind, frozenset[str]], tuple[Finding, ...]]:
        """Return which names of each list are withheld, and a finding for each.

        Raises `Unavailable` when the store cannot be used.
        """
        if mode == "off":
            return {}, ()
        held: dict[ItemKind, tuple[Held, ...]] = {
            kind: self._judged(upstream, kind, of, mode).held for kind, of in definitions.items()
        }
        findings = (Finding(upstream, one.native, _why(one), kind) for kind, all_of in held.items() for one in all_of)
        return {kind: frozenset(one.native for one in all_of) for kind, all_of in held.items()}, tuple(findings)

    def _judged(self, upstream: str, kind: ItemKind, definitions: Sequence[Definition], mode: Mode) -> Judged:
        now = self._clock()
        judged = judge(definitions, self._store.approved(upstream, kind), mode)
        if judged.first:
            first = [Pinned(one.native, one.pin, bytes(one.raw)) for one in judged.first]
            judged = judge(definitions, self._store.trust(upstream, kind, first, now), mode)
        self._store.wait(upstream, kind, [Pinned(one.native, one.pin, one.raw) for one in judged.held], now)
        return judged


def _why(held: Held) -> str:
    what = "it changed since it was approved" if held.approved else "it was never approved"
    return f"{what}, so it is withheld: `agent-gateway pins diff` shows it"
