"""The configuration file as text: one upstream put in, every comment and everything else kept.

No file is read or written here.
"""

import io
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
    yaml = _yaml()
    document = _read(yaml, text)
    members = cast("dict[str, object]", document)
    upstreams = members.get("upstreams")
    if upstreams is None:
        upstreams = members["upstreams"] = CommentedMap()
    if not isinstance(upstreams, CommentedMap):
        raise CannotAdd("its `upstreams` is not a mapping")
    if name in upstreams:
        raise CannotAdd(f"there is an upstream `{name}` already")
    before: dict[str, Any] = _plain(_read(_yaml(), text))
    cast("dict[str, object]", upstreams)[name] = dict(entry)
    stream = io.StringIO()
    yaml.dump(document, stream)  # pyright: ignore[reportUnknownMemberType]
    written = stream.getvalue()
    others: dict[str, Any] = before.get("upstreams") or {}
    expected = {**before, "upstreams": {**others, name: dict(entry)}}
    if _plain(_read(_yaml(), written)) != expected or _comments(text) - _comments(written):
        raise CannotAdd("it is written in a way that this program does not edit")
    return written


def entry_text(name: str, entry: Mapping[str, object]) -> str:
    """Return the entry alone, as it stands under `upstreams`."""
    stream = io.StringIO()
    _yaml().dump({"upstreams": {name: dict(entry)}}, stream)  # pyright: ignore[reportUnknownMemberType]
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
