"""Spelling: how one value is written as text, and which of its characters are escaped.

Characters that separate (`,` `;` `.` `|`) are put between escaped values by `style`.
"""

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Final, cast
from urllib.parse import quote

from gateway_policies.refusal import BadRequest

_NO_HARM: Final = ":/?@!$'()*,;"
"""Reserved characters that cannot end a query value; `#`, `&`, `=`, `+`, `%`, `[` and `]` are escaped all the same."""


class BadArgument(BadRequest):
    """An argument that has no safe or no defined spelling on the wire; nothing is sent."""

    code = "bad_argument"


def text_of(value: object) -> str:
    """Return a scalar as text: `true`, `1`, `1.5`, the string itself; anything nested as compact JSON.

    Whole numbers lose `.0`, which JSON does not tell apart. Raises `BadArgument` for a number that JSON lacks.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not isfinite(value):
            raise BadArgument("a number must be finite")
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return compact_json(value)


def compact_json(value: object) -> str:
    """Return JSON without blanks, non-ASCII characters as they are; raises `BadArgument` for what JSON lacks."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        raise BadArgument("an argument cannot be written as JSON") from None


def escaped(text: str, *, keeps_reserved: bool = False) -> str:
    """Return text in which everything but RFC 3986's unreserved characters is percent-encoded.

    keeps_reserved  `allowReserved`: reserved characters that cannot begin another part of a URL stay
    Raises `BadArgument` for text that is no Unicode (a lone surrogate).
    """
    try:
        return quote(text, safe=_NO_HARM if keeps_reserved else "")
    except UnicodeEncodeError:
        raise BadArgument("an argument is not Unicode text") from None


def items_of(value: object) -> list[object] | None:
    """Return the elements of an array without nulls, None for what is no array."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [item for item in cast("Sequence[object]", value) if item is not None]
    return None


def members_of(value: object) -> dict[str, object] | None:
    """Return the members of an object without nulls, None for what is no object."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in cast("Mapping[object, object]", value).items() if item is not None}
    return None
