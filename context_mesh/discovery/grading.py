"""Grades of what was found: what the operations of a description may do at most, without making tools of it."""

from collections.abc import Mapping
from typing import Final

from context_mesh.discovery.proposal import members
from context_mesh.openapi.tool import Risk

MAX_PATHS: Final = 25_000
_GRADES: Final[Mapping[str, Risk]] = {
    "get": Risk.READ,
    "head": Risk.READ,
    "query": Risk.READ,
    "options": Risk.READ,
    "post": Risk.CREATE,
    "patch": Risk.WRITE,
    "put": Risk.DESTROY,
    "delete": Risk.DESTROY,
}


def graded(description: object) -> Risk | None:
    """Return the highest grade among the methods of a description, None when it has no operation."""
    found: set[Risk] = set()
    for path in list(members(members(description).get("paths")).values())[:MAX_PATHS]:
        found.update(grade for name in members(path) if (grade := _GRADES.get(name.lower())) is not None)
    return max(found, default=None)
