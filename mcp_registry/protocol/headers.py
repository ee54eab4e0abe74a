"""The HTTP headers that mirror a modern message: names, the value codec, `Mcp-Param-*`.

Held to the SDK's `mcp.shared.inbound` by the tests. Whether a message's headers
agree with its body is asked by `inbound`; `outbound` writes them.
Source: MCP 2026-07-28, basic/transports "Standard headers" and "Custom headers".
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, cast

VERSION: Final = "mcp-protocol-version"
METHOD: Final = "mcp-method"
NAME: Final = "mcp-name"
SESSION: Final = "mcp-session-id"
PARAM_PREFIX: Final = "mcp-param-"
ANNOTATION: Final = "x-mcp-header"

NAME_BEARING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tools/call": "name",
        "prompts/get": "name",
        "resources/read": "uri",
        "tasks/get": "taskId",
        "tasks/update": "taskId",
        "tasks/cancel": "taskId",
    }
)
"""Method → the member of `params` that `Mcp-Name` mirrors."""

_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL: Final = re.compile(r"(-?[0-9]+)(?:\.0+)?")
_KINDS: Final = frozenset({"string", "integer", "boolean"})
_ONE_SCHEMA: Final = frozenset(
    {
        "items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties",
        "not", "if", "then", "else", "contentSchema",
    }
)  # fmt: skip
_SCHEMA_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SCHEMA_MAPS: Final = frozenset({"patternProperties", "dependentSchemas", "$defs", "definitions"})


@dataclass(frozen=True, slots=True)
class HeaderParam:
    """One argument that a header mirrors.

    path    the chain of property names from the arguments down to it
    header  lower case, `mcp-param-…`
    kind    `string`, `integer` or `boolean`
    """

    path: tuple[str, ...]
    header: str
    kind: str


def encode_value(text: str) -> str:
    """Return `text` as a header value: as it is, or base64 where a header would not carry it unchanged."""
    is_plain = text.isascii() and text.isprintable()  # space to tilde
    if is_plain and text == text.strip() and not _SENTINEL.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def decode_value(value: str | None) -> str | None:
    """Return what `encode_value` was given; None for a value that it would not have written, and for None."""
    if value is None:
        return None
    sentinel = _SENTINEL.fullmatch(value)
    if sentinel is None:
        return value
    try:
        raw = base64.b64decode(sentinel[1], validate=True)
        return raw.decode() if base64.b64encode(raw).decode() == sentinel[1] else None
    except (binascii.Error, ValueError):
        return None


def header_params(schema: object) -> tuple[HeaderParam, ...]:
    """Return the arguments that an input schema wants mirrored, in the schema's order.

    Raises `ValueError` with the reason when one annotation is invalid: such a tool must not be used.
    """
    found: list[HeaderParam] = []
    seen: set[str] = set()
    for path, position in _positions(schema):
        if ANNOTATION not in position:
            continue
        if not path:
            raise ValueError(f"{ANNOTATION} stands where no chain of `properties` leads")
        param = _header_param(path, position)
        if param.header in seen:
            raise ValueError(f"{ANNOTATION} of `{'.'.join(path)}` is used twice")
        seen.add(param.header)
        found.append(param)
    return tuple(found)


def render_params(params: Sequence[HeaderParam], arguments: Mapping[str, object]) -> dict[str, str]:
    """Return the `mcp-param-*` headers of one call; absent and null arguments have none."""
    rendered: dict[str, str] = {}
    for param in params:
        text = render_scalar(argument_at(arguments, param.path))
        if text is not None:
            rendered[param.header] = encode_value(text)
    return rendered


def agrees(param: HeaderParam, value: object, decoded: str) -> bool:
    """Say whether a decoded header mirrors `value`; integers agree as numbers (`42` and `42.0`)."""
    is_integral = (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer()
    )
    if param.kind == "integer" and is_integral:
        decimal = _DECIMAL.fullmatch(decoded)
        if decimal:
            return len(decimal[1]) <= _MAX_DIGITS and int(decimal[1]) == int(cast("int | float", value))
        if re.fullmatch(r"-?[0-9]+\.[0-9]+", decoded):
            return False
    return decoded == render_scalar(value)


def argument_at(arguments: Mapping[str, object], path: Sequence[str]) -> object:
    """Return the argument at `path`, or None when a step is missing or no object."""
    node: object = arguments
    for name in path:
        node = _member(node, name)
    return node


def _member(node: object, name: str) -> object:
    return cast("dict[str, object]", node).get(name) if isinstance(node, dict) else None


def render_scalar(value: object) -> str | None:
    """Return a scalar as header text, or None for what no header can mirror."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        return None
    try:
        return str(value)
    except ValueError:  # more digits than the interpreter writes
        return None


def _header_param(path: tuple[str, ...], position: Mapping[str, object]) -> HeaderParam:
    token, kind = position[ANNOTATION], position.get("type")
    where = ".".join(path)
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise ValueError(f"{ANNOTATION} of `{where}` is no header token")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"{ANNOTATION} of `{where}` needs the type string, integer or boolean")
    return HeaderParam(path, PARAM_PREFIX + token.lower(), kind)


def _positions(root: object) -> Iterator[tuple[tuple[str, ...] | None, Mapping[str, object]]]:
    """Yield each schema with its chain of properties, None once another keyword was crossed."""
    stack: list[tuple[tuple[str, ...] | None, object]] = [((), root)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, dict):
            position = cast("dict[str, object]", node)
            yield path, position
            stack.extend(_below(path, position))


def _below(
    path: tuple[str, ...] | None, position: Mapping[str, object]
) -> Iterator[tuple[tuple[str, ...] | None, object]]:
    for keyword, value in [*position.items()][::-1]:
        if keyword == "properties" and isinstance(value, dict):
            for name, child in [*cast("dict[str, object]", value).items()][::-1]:
                yield (None if path is None else (*path, name)), child
        elif keyword in _ONE_SCHEMA:
            yield None, value
        elif keyword in _SCHEMA_LISTS and isinstance(value, list):
            yield from ((None, child) for child in cast("list[object]", value))
        elif keyword in _SCHEMA_MAPS and isinstance(value, dict):
            yield from ((None, child) for child in cast("dict[str, object]", value).values())


_MAX_DIGITS: Final = 4300
