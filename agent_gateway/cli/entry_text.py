"""The configuration file as text: one upstream put in or taken out, every comment and everything else kept.

No file is read or written here.
"""

import io
import textwrap
from collections.abc import Mapping
from typing import Any, Final, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

_WIDTH: Final = 4096


class CannotAdd(Exception):
    """The text cannot take the entry without risk to what is in it; the message says why."""


def with_upstream(text: str, name: str, entry: Mapping[str, object]) -> str:
    """Return `text` with the upstream `name` added; raises `CannotAdd`.

    The result is read back before it is believed: it holds what was there, and the entry.
    """
    document = _read(_yaml(), text)
    before: dict[str, Any] = _plain(document)
    others: object = before.get("upstreams") or {}
    if not isinstance(others, dict):
        raise CannotAdd("its `upstreams` is not a mapping")
    if name in others:
        raise CannotAdd(f"there is an upstream `{name}` already")
    expected = {**before, "upstreams": {**cast("dict[str, object]", others), name: dict(entry)}}
    for write in (_inserted, _rewritten):
        written = write(text, name, entry)
        if written is not None and _holds(written, expected) and not _comments(text) - _comments(written):
            return written
    raise CannotAdd("it is written in a way that this program does not edit")


def without_upstream(text: str, name: str) -> str:
    """Return `text` without the lines of the upstream `name`; raises `CannotAdd` when that would touch more.

    Comments and blank lines behind the entry stay. An upstream that is alone is left where it is.
    """
    document = _read(_yaml(), text)
    before: dict[str, Any] = _plain(document)
    members = cast("dict[str, object]", document).get("upstreams")
    if not isinstance(members, CommentedMap) or name not in members:
        raise CannotAdd(f"there is no upstream `{name}`")
    if _is_in_braces(members) or len(before["upstreams"]) == 1:
        raise CannotAdd("it is written in a way that this program does not edit")
    lines = text.splitlines(keepends=True)
    start = _line_of(members, name)
    keys = [_line_of(members, key) for key in cast("dict[str, object]", members)]
    keys += [_line_of(document, key) for key in cast("dict[str, object]", document)]
    end = min((line for line in keys if line > start), default=len(lines))
    while not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#"):
        end -= 1
    written = "".join(lines[:start] + lines[end:])
    others = {other: entry for other, entry in before["upstreams"].items() if other != name}
    if not _holds(written, {**before, "upstreams": others}):
        raise CannotAdd("it is written in a way that this program does not edit")
    return written


def entry_of(text: str, name: str) -> dict[str, object]:
    """Return the entry of the upstream `name` as it is written; raises `CannotAdd` when there is none."""
    found: object = _plain(_read(_yaml(), text)).get("upstreams", {}).get(name)
    if not isinstance(found, dict):
        raise CannotAdd(f"there is no upstream `{name}`")
    return cast("dict[str, object]", found)


def _inserted(text: str, name: str, entry: Mapping[str, object]) -> str | None:
    """Return `text` with the entry's lines put in and every other byte kept; None for a mapping in braces."""
    document = _read(_yaml(), text)
    lines = text.splitlines(keepends=True)
    if "upstreams" not in document:
        return _ended(text) + entry_text(name, entry)
    start = _line_of(document, "upstreams")
    members = cast("object", document["upstreams"])
    indent, at = 2, start + 1
    if isinstance(members, CommentedMap) and members:
        if _is_in_braces(members):
            return None
        indent = _column_of(members, next(iter(cast("dict[str, object]", members))))
        keys = list(cast("dict[str, object]", document))
        following = [line for line in (_line_of(document, key) for key in keys) if line > start]
        at = min(following, default=len(lines))
        while not lines[at - 1].strip() or (lines[at - 1].startswith("#") and at > start + 2):
            at -= 1
    own = textwrap.indent(_dumped({name: dict(entry)}), " " * indent)
    return _ended("".join(lines[:at])) + own + "".join(lines[at:])


def _rewritten(text: str, name: str, entry: Mapping[str, object]) -> str | None:
    """Return the whole document written anew, comments kept; spacing inside braces may change."""
    yaml = _yaml()
    document = cast("dict[str, dict[str, object]]", _read(yaml, text))
    document["upstreams"][name] = dict(entry)
    return _dumped(document, yaml)


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else text + "\n"


def _holds(text: str, expected: Mapping[str, object]) -> bool:
    try:
        return bool(_plain(_read(_yaml(), text)) == expected)
    except CannotAdd:
        return False


def _line_of(mapping: CommentedMap, key: str) -> int:
    return _place_of(mapping, key)[0]


def _column_of(mapping: CommentedMap, key: str) -> int:
    return _place_of(mapping, key)[1]


def _place_of(mapping: CommentedMap, key: str) -> tuple[int, int]:
    """Return line and column of a key, both from 0."""
    places = cast("Any", mapping).lc
    return cast("tuple[int, int]", places.key(key))


def _is_in_braces(mapping: CommentedMap) -> bool:
    return bool(cast("Any", mapping).fa.flow_style())


def entry_text(name: str, entry: Mapping[str, object]) -> str:
    """Return the entry alone, as it stands under `upstreams`."""
    return _dumped({"upstreams": {name: dict(entry)}})


def _dumped(document: object, yaml: YAML | None = None) -> str:
    stream = io.StringIO()
    (yaml or _yaml()).dump(document, stream)  # pyright: ignore[reportUnknownMemberType]
    return stream.getvalue()


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _read(yaml: YAML, text: str) -> CommentedMap:
    try:
        document: object = yaml.load(text)  # pyright: ignore[reportUnknownMemberType]
    except YAMLError:
        raise CannotAdd("it is not plain YAML") from None
    if not isinstance(document, CommentedMap):
        raise CannotAdd("it is not a mapping")
    return document


def _plain(document: object) -> Any:
    """Return the values without what ruamel adds to them."""
    if isinstance(document, dict):
        return {str(key): _plain(value) for key, value in cast("dict[object, object]", document).items()}
    if isinstance(document, list):
        return [_plain(value) for value in cast("list[object]", document)]
    if isinstance(document, str):
        return str(document)
    return document


def _comments(text: str) -> set[str]:
    return {line.partition("#")[2].strip() for line in text.splitlines() if "#" in line}
