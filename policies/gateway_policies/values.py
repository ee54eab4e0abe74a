"""Values of the policy evaluator: plain, unknown, or failed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway_policies.entities import Uid

LONG_MIN: Final = -(2**63)
LONG_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is not known yet.

    depends  the names it stands for (`context.args.path`)
    path     its own full path, while it is one plain member
    types    when it is an entity: the types it may have
    """

    depends: frozenset[str] = frozenset()
    path: str = ""
    types: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Evaluating failed: in Cedar the policy is skipped, here the call is denied."""


FAILED: Final = Failed()

Plain = str | int | bool | Uid | frozenset["Plain"] | Mapping[str, "Value"]
Value = Plain | Unknown | Failed


def unknown(path: str) -> Unknown:
    """Return the unknown value at `path`."""
    return Unknown(frozenset((path,)), path)


def depends_on(value: Value) -> frozenset[str]:
    """Return the names on which `value` depends; none for a plain value."""
    if isinstance(value, Unknown):
        return value.depends
    if isinstance(value, Mapping):
        return frozenset[str]().union(*(depends_on(member) for member in value.values()))
    return frozenset()
