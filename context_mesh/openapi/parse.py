"""Bytes of one file to plain values, JSON or YAML, whatever the file is called.

JSON goes through a fast decoder; what that refuses is read as YAML, which takes all JSON and
says at which line and column it stops. Nothing here knows what a description is.
"""

import codecs
from typing import Final

import orjson

from context_mesh.openapi import yaml_values
from context_mesh.openapi.limits import Limits
from context_mesh.openapi.yaml_values import unreadable
from gateway_policies.nesting import is_deeper

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SPACE: Final = b" \t\r\n"


def parse(body: bytes, name: str = "", limits: Limits | None = None) -> object:
    """Return the value of a file: objects (names are always text), arrays, texts, numbers, booleans, None.

    body  JSON or YAML in UTF-8, or in what its byte order mark says
    name  for messages

    Of two equal names the last one counts. Raises `BadRequest` (code `unreadable_description`) with line
    and column for what is neither, and (code `description_too_large`) beyond a limit.
    """
    limits = limits or Limits()
    text = _utf8(body, name)
    if len(text) > limits.max_bytes:
        raise too_large(name, f"more than {limits.max_bytes} bytes")
    if text.lstrip(_SPACE)[:1] in (b"{", b"["):
        try:
            value: object = orjson.loads(text)
        except orjson.JSONDecodeError:
            return yaml_values.value(text, name, limits)
        _check_shape(text, name, limits)
        return value
    return yaml_values.value(text, name, limits)


def too_large(name: str, what: str) -> Exception:
    """Return the refusal for a file beyond a limit."""
    return unreadable(name, what, code="description_too_large")


def _utf8(body: bytes, name: str) -> bytes:
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            try:
                return body[len(mark) :].decode(encoding).encode()
            except UnicodeError:
                raise unreadable(name, f"the text is not {encoding.upper()}") from None
    return body


def _check_shape(text: bytes, name: str, limits: Limits) -> None:
    """Refuse a JSON text that is too deep or may hold too many values, without walking through them."""
    if is_deeper(text, limits.max_depth):
        raise too_large(name, f"nested deeper than {limits.max_depth} levels")
    if text.count(b",") > limits.max_nodes:
        raise too_large(name, f"more than {limits.max_nodes} values")
