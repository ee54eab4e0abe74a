"""One promise, as a row of the tables beside this."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """One promise.

    source     where it comes from: an invariant of DESIGN.md, a clause of a specification, the issue
    behaviour  what anyone can observe
    gap        why no test holds it yet; None: one does
    """

    source: str
    behaviour: str
    gap: str | None = None
