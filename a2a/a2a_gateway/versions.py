"""Which version of A2A a request speaks.

Whether an agent is served in that version is asked by others, who know the agent.
Source: A2A 1.0.1, 3.6 "Versioning".
"""

import re
from typing import Final

from a2a_gateway.operations import Version
from gateway_policies.refusal import BadRequest

HEADER: Final = "a2a-version"
QUERY: Final = "A2A-Version"
SERVED: Final[tuple[Version, ...]] = ("1.0", "0.3")

_NUMBER: Final = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})(?:\.[0-9A-Za-z.+-]{1,32})?")


def negotiate(header: str | None, query: str | None = None) -> Version:
    """Return the version that a request declares; nothing declared is 0.3.

    header  the value of `A2A-Version`, None when there is none
    query   the parameter of the same name, None when there is none

    A patch takes no part: `1.0.7` is 1.0. Raises `BadRequest` (code `version_not_supported`) for every
    other version, 1.1 too, and (code `bad_request`) when header and query disagree.
    """
    declared = {_series(value) for value in (header, query) if value is not None}
    if len(declared) > 1:
        raise BadRequest("the version in the header and the version in the query disagree", hint="send one of them")
    series = declared.pop() if declared else ""
    for version in SERVED:
        if series == version or (series == "" and version == "0.3"):
            return version
    raise unsupported()


def _series(value: str) -> str:
    """Return `Major.Minor`, empty for an empty value, `?` for what is no version."""
    text = value.strip(" \t")
    if not text:
        return ""
    number = _NUMBER.fullmatch(text)
    return f"{number[1]}.{number[2]}" if number else "?"


def unsupported(what: str = "this version of A2A is not served here") -> BadRequest:
    """Return the refusal of a version, for what is asked in the wrong one too."""
    return BadRequest(
        what,
        code="version_not_supported",
        hint=f"send the header `A2A-Version` with one of {', '.join(SERVED)}; without it, 0.3 is spoken",
        details={"supported": list(SERVED)},
    )
