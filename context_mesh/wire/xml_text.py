"""XML bodies from plain values: elements and attributes by name, nothing else."""

import re
from collections.abc import Mapping
from typing import Final, cast
from xml.sax.saxutils import escape, quoteattr

from context_mesh.openapi.model import MediaType
from context_mesh.wire.spelling import BadArgument, items_of, text_of

MAX_DEPTH: Final = 32
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}(:[A-Za-z_][A-Za-z0-9_.-]{0,127})?")
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_of(value: object, media: MediaType) -> str:
    """Return an XML document for an object, or the text itself for a string.

    Names are those of the schema (`xml.name`) on the first level, and the members' own below. Raises
    `BadArgument` for a name or a character that XML lacks.
    """
    if isinstance(value, str):
        return _legal(value)
    attributes = {field.name for field in media.fields if field.is_xml_attribute}
    names = {field.name: field.xml_name for field in media.fields if field.xml_name}
    root = media.xml_root or "root"
    if not isinstance(value, Mapping):
        return _element(root, value, 0)
    members = cast("Mapping[str, object]", value)
    head = "".join(
        f" {_checked(names.get(key, key))}={quoteattr(_legal(text_of(item)))}"
        for key, item in members.items()
        if key in attributes and item is not None
    )
    inner = "".join(_element(names.get(key, key), item, 1) for key, item in members.items() if key not in attributes)
    return f"<{_checked(root)}{head}>{inner}</{root}>"


def _element(name: str, value: object, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise BadArgument(f"an XML body is at most {MAX_DEPTH} elements deep")
    items = items_of(value)
    if items is not None:
        return "".join(_element(name, item, depth + 1) for item in items)
    if value is None:
        return ""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        inner = "".join(_element(key, item, depth + 1) for key, item in members.items())
        return f"<{_checked(name)}>{inner}</{name}>"
    return f"<{_checked(name)}>{escape(_legal(text_of(value)))}</{name}>"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadArgument(f"`{name[:64]}` is no name for an XML element")
    return name


def _legal(text: str) -> str:
    if _ILLEGAL.search(text):
        raise BadArgument("an argument holds a character that XML cannot carry")
    return text
