"""The rest of an answer that was cut: a part of what was kept, by pointer and offset."""

import base64
from collections.abc import Mapping
from typing import Final, cast

from context_mesh.wire.read import Reading, Shape
from context_mesh.wire.shape import Cut, found_at, json_text, shortened, size_of

MAX_LIMIT: Final = 10_000


def rest_of(whole: object, pointer: str, offset: int, limit: int, shape: Shape) -> Reading:
    """Return a part of a kept answer that fits `shape`.

    whole    a JSON value, a text, or bytes
    pointer  JSON pointer to an array, an object or a text in it; "" is all of it
    offset   items, characters or bytes to leave out, >= 0; `limit` is the most to return, > 0
    Raises `KeyError` when the pointer leads nowhere.
    """
    if isinstance(whole, bytes):
        return _bytes(whole, offset, min(limit, shape.max_blob))
    value = found_at(whole, pointer)
    if isinstance(value, str):
        end = offset + min(limit, shape.max_chars)
        text = value[offset:end]
        return _part({"text": text, "offset": offset, "total": len(value)}, pointer, end, len(value))
    if isinstance(value, list):
        items = cast("list[object]", value)
        shown, end = _fitting(items, offset, min(limit, MAX_LIMIT), shape.max_chars)
        return _part({"items": shown, "offset": offset, "total": len(items)}, pointer, end, len(items))
    shorter, cuts = shortened(value, shape.max_chars)
    cuts = tuple(Cut(pointer + cut.at, cut.total, cut.shown) for cut in cuts)
    return Reading(({"type": "text", "text": json_text(shorter)},), shorter, cuts=cuts)


def _fitting(items: list[object], offset: int, limit: int, max_chars: int) -> tuple[list[object], int]:
    """Return items from `offset` that fit, at least one (cut, if it must be), and where the next begin."""
    shown: list[object] = []
    left = max_chars
    for item in items[offset : offset + limit]:
        size = size_of(item) + 1
        if size > left and shown:
            break
        shown.append(shortened(item, max_chars)[0])
        left -= size
    return shown, offset + len(shown)


def _part(members: Mapping[str, object], pointer: str, end: int, total: int) -> Reading:
    cuts = (Cut(pointer, total, end),) if end < total else ()
    return Reading(({"type": "text", "text": json_text(members)},), members, cuts=cuts)


def _bytes(whole: bytes, offset: int, limit: int) -> Reading:
    data = base64.b64encode(whole[offset : offset + limit]).decode()
    members = {"data": data, "offset": offset, "total": len(whole)}
    return _part(members, "", min(offset + limit, len(whole)), len(whole))
