"""Pinning: what of an upstream's lists is withheld, by what was approved.

Runs in a worker thread: it reads and writes the store of pins.
"""

import json
from collections.abc import Mapping, Sequence

from a2a_gateway import cards
from a2a_gateway.cards import Card
from agent_gateway.ports import Clock
from agent_gateway.stores.pin_store import Pinned, PinStore, Place
from mcp_registry.definitions import Definition, Finding
from mcp_registry.protocol.lists import ItemKind
from mcp_registry.quarantine import Held, Judged, Mode, judge

CARD = "card"


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

    def card(self, agent: str, where: str, shown: Card) -> Card:
        """Return the card of an agent that is served: the first that it showed there, or what an operator approved.

        where  host and port that messages go to: at another one it is another agent, seen for the first time
        Raises `Unavailable` when the store cannot be used, and like `cards.parse`.
        """
        now, place = self._clock(), Place(agent, CARD, where)
        one = Pinned(where, cards.pin(agent, shown.raw), json.dumps(shown.raw).encode())
        approved = self._store.approved(agent, CARD)
        if where not in approved:
            approved = self._store.trust(agent, CARD, [one], now)
        is_approved = approved[where] == one.pin
        self._store.wait(agent, CARD, [] if is_approved else [one], now)
        return shown if is_approved else cards.parse(self._store.definition(place))

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
