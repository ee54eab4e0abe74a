"""Canonical JSON: one spelling for one value, which is what a signature covers.

Source: RFC 8785; ECMA-262, 6.1.6.1.20 "Number::toString".
"""

import math
import re
from typing import Final, cast

from gateway_policies.refusal import BadRequest

MAX_DEPTH: Final = 128
MAX_SAFE_INTEGER: Final = 2**53 - 1

_ESCAPES: Final = {chr(code): f"\\u{code:04x}" for code in range(0x20)} | {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
}  # fmt: skip
_ESCAPED: Final = re.compile(r'[\x00-\x1f\\"]')


def canonical(value: object) -> bytes:
    """Return the canonical form of a parsed JSON value.

    Raises `BadRequest` (code `no_canonical_form`) for what has none: integers beyond 2^53 - 1, which
    readers round differently, half a surrogate pair, NaN and infinities, and more than 128 levels.
    """
    pieces: list[str] = []
    _write(value, pieces, 1)
    try:
        return "".join(pieces).encode()
    except UnicodeEncodeError:
        raise _formless("half a surrogate pair") from None


def _write(value: object, pieces: list[str], depth: int) -> None:
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        raise _formless(f"more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        _write_object(cast("dict[str, object]", value), pieces, depth)
    elif isinstance(value, list):
        mark = "["
        for item in cast("list[object]", value):
            pieces.append(mark)
            _write(item, pieces, depth + 1)
            mark = ","
        pieces.append("]" if mark == "," else "[]")
    else:
        pieces.append(_scalar(value))


def _write_object(members: dict[str, object], pieces: list[str], depth: int) -> None:
    mark = "{"
    # By UTF-16 code units, not by code points: they differ beyond the basic plane.
    for name in sorted(members, key=lambda name: name.encode("utf-16-be", "surrogatepass")):
        pieces.append(f"{mark}{_text(name)}:")
        _write(members[name], pieces, depth + 1)
        mark = ","
    pieces.append("}" if mark == "," else "{}")


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise _formless("an integer beyond 2^53 - 1")
        return str(value)
    return _number(cast("float", value))


def _text(value: str) -> str:
    return f'"{_ESCAPED.sub(lambda match: _ESCAPES[match[0]], value)}"'


def _number(value: float) -> str:
    """Write a double as ECMAScript does: the shortest digits, with an exponent from 1e21 and below 1e-6."""
    if not math.isfinite(value):
        raise _formless("a number that is not finite")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))  # where the point stands in digits
    digits = digits.rstrip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"


def _formless(what: str) -> BadRequest:
    return BadRequest(f"{what} has no canonical form", code="no_canonical_form")
