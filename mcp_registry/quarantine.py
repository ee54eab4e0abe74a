"""Quarantine: a definition is shown once it was approved, and not while it is another one.

The first definition of a name is approved when it is seen (`trust_first`), or by
an operator alone (`approve`). A changed one is withheld, and so is its tool: what
a server says of a tool and what the tool does change together, so the approved
text would describe something else. Remembering is `agent_gateway.stores.pin_store`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mcp_registry.definitions import Definition

Mode = Literal["trust_first", "approve", "off"]
MODES: Final[tuple[Mode, ...]] = ("trust_first", "approve", "off")


@dataclass(frozen=True, slots=True)
class Held:
    """A definition that is withheld.

    approved  the pin of the one that was approved before; empty: none was
    """

    native: str
    pin: str
    raw: bytes
    approved: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is shown of a list, what is withheld, and what is approved by being the first."""

    shown: tuple[Definition, ...]
    held: tuple[Held, ...]
    first: tuple[Definition, ...]


def judge(definitions: Sequence[Definition], approved: Mapping[str, str], mode: Mode) -> Judged:
    """Judge the usable definitions of one list of one upstream.

    approved  the approved pin of each name; one that is not there was never approved
    """
    if mode == "off":
        return Judged(tuple(definitions), (), ())
    shown: list[Definition] = []
    held: list[Held] = []
    first: list[Definition] = []
    for definition in definitions:
        pin = approved.get(definition.native, "")
        if pin == definition.pin:
            shown.append(definition)
        elif not pin and mode == "trust_first":
            shown.append(definition)
            first.append(definition)
        else:
            held.append(Held(definition.native, definition.pin, bytes(definition.raw), pin))
    return Judged(tuple(shown), tuple(held), tuple(first))
