"""One downstream POST: which era it speaks, and whether headers and body say the same.

The body is the truth; a header that disagrees with it is refused, never followed.
Who may call, whether a session is really the caller's, and whether a method
exists (`discover`) are left to others.
Source: MCP 2026-07-28, basic/transports and basic/versioning; 2025-11-25, basic/transports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

import msgspec
from msgspec import Raw

from mcp_registry.protocol import headers as wire
from mcp_registry.protocol.envelope import Notification, Request
from mcp_registry.protocol.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    UNSUPPORTED_PROTOCOL_VERSION,
    ProtocolError,
)
from mcp_registry.protocol.headers import HeaderParam
from mcp_registry.protocol.versions import (
    LEGACY_VERSIONS,
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_VERSION,
    MODERN_VERSIONS,
)

DEFAULT_LEGACY_VERSION: Final = "2025-03-26"  # what a session without a version header speaks

LOG_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


@dataclass(frozen=True, slots=True)
class ModernRoute:
    """A request of 2026-07-28 that passed every check.

    client_capabilities, client_info  raw JSON as declared with this request; info may be absent
    log_level                         the least severe log message the caller wants; None for none
    """

    version: str
    client_capabilities: Raw
    client_info: Raw | None
    log_level: str | None
    era: Literal["modern"] = "modern"


@dataclass(frozen=True, slots=True)
class LegacyRoute:
    """A message of the handshake era.

    version     of the header, or the oldest that may leave it out; `initialize` negotiates its own
    session_id  None for `initialize` alone
    """

    version: str
    session_id: str | None
    era: Literal["legacy"] = "legacy"


Route = ModernRoute | LegacyRoute


def route(headers: Mapping[str, str], message: Request | Notification, *, has_session: bool) -> Route:
    """Return the era of one POST and what it declares.

    headers      names in lower case, one value each (the listener refuses repeats)
    has_session  whether `mcp-session-id` names a live session of this caller

    Raises `ProtocolError` for a legacy message without a session (400; 404 for one that is over),
    a version that we do not serve, missing `_meta` keys, and headers that disagree with the body.
    """
    # A handshake that bears the keys of a later version is a request of that version, which has no such method.
    if (message.method == "initialize" and META_VERSION not in message.meta) or has_session:
        return _legacy(headers, message)
    version = headers.get(wire.VERSION)
    if META_VERSION in message.meta or (version is not None and version not in LEGACY_VERSIONS):
        return _modern(headers, message)
    if wire.SESSION in headers:
        raise ProtocolError(
            INVALID_REQUEST, "this session is over or was never here", http_status=404, hint="initialize again"
        )
    raise ProtocolError(
        INVALID_REQUEST,
        "no session and no protocol version",
        hint=f"initialize a session first, or send the `_meta` keys of {MODERN_VERSIONS[-1]}",
    )


def check_params(params: Sequence[HeaderParam], arguments: Mapping[str, object], headers: Mapping[str, str]) -> None:
    """Refuse a modern `tools/call` whose `Mcp-Param-*` headers and arguments are not the same.

    params  what the tool's schema wants mirrored (`headers.header_params`)

    Raises `ProtocolError` (-32020) for a header without argument, an argument without header, a
    malformed value, and one that disagrees. Headers that the schema does not name are not looked at.
    """
    for param in params:
        value = wire.argument_at(arguments, param.path)
        header = headers.get(param.header)
        is_mirrored = value is not None and wire.render_scalar(value) is not None
        if header is None and not is_mirrored:
            continue
        if header is None:
            raise _mismatch(f"`{param.header}` is missing and the argument `{'.'.join(param.path)}` is there")
        decoded = wire.decode_value(header)
        if not is_mirrored or decoded is None or not wire.agrees(param, value, decoded):
            raise _mismatch(f"`{param.header}` does not agree with the argument `{'.'.join(param.path)}`")


def _legacy(headers: Mapping[str, str], message: Request | Notification) -> LegacyRoute:
    is_opening = message.method == "initialize"
    version = headers.get(wire.VERSION, DEFAULT_LEGACY_VERSION)
    # An opening message negotiates in its body; clients send any version in its header.
    if version not in LEGACY_VERSIONS and not is_opening:
        raise ProtocolError(
            INVALID_REQUEST,
            "unsupported protocol version in a session",
            hint=f"a session speaks one of {', '.join(LEGACY_VERSIONS)}",
        )
    return LegacyRoute(version, None if is_opening else headers.get(wire.SESSION))


def _modern(headers: Mapping[str, str], message: Request | Notification) -> ModernRoute:
    """Run the ladder; the first rung that fails answers, in the order of the specification's own."""
    missing = [key for key in (META_VERSION, META_CLIENT_CAPABILITIES) if key not in message.meta]
    if missing:
        raise ProtocolError(INVALID_PARAMS, f"`_meta` lacks {' and '.join(f'`{key}`' for key in missing)}")
    meta = cast("Mapping[str, object]", message.parsed["_meta"])
    version = meta[META_VERSION]
    _check_headers(headers, message, version)
    if version not in MODERN_VERSIONS:
        raise ProtocolError(
            UNSUPPORTED_PROTOCOL_VERSION,
            "unsupported protocol version",
            data={"supported": list(MODERN_VERSIONS), "requested": version},
        )
    if not isinstance(meta[META_CLIENT_CAPABILITIES], dict):
        raise ProtocolError(INVALID_PARAMS, f"`{META_CLIENT_CAPABILITIES}` must be an object")
    return ModernRoute(
        version=cast("str", version),
        client_capabilities=message.meta[META_CLIENT_CAPABILITIES],
        client_info=message.meta.get(META_CLIENT_INFO),
        log_level=_log_level(meta),
    )


def _check_headers(headers: Mapping[str, str], message: Request | Notification, version: object) -> None:
    if wire.VERSION not in headers or headers[wire.VERSION] != version:
        raise _mismatch(f"`{wire.VERSION}` does not agree with `_meta`")
    if headers.get(wire.METHOD) != message.method:
        raise _mismatch(f"`{wire.METHOD}` does not agree with the method")
    member = wire.NAME_BEARING.get(message.method)
    if member is None:
        return
    # A name that is missing or no string is refused where the method is read.
    named = message.parsed.get(member)
    if named is not None and wire.decode_value(headers.get(wire.NAME)) != named:
        raise _mismatch(f"`{wire.NAME}` does not agree with `{member}`")


def _log_level(meta: Mapping[str, object]) -> str | None:
    level = meta.get(META_LOG_LEVEL)
    if level is None or level in LOG_LEVELS:
        return level if isinstance(level, str) else None
    raise ProtocolError(INVALID_PARAMS, f"`{META_LOG_LEVEL}` must be one of {', '.join(LOG_LEVELS)}")


def _mismatch(message: str) -> ProtocolError:
    return ProtocolError(HEADER_MISMATCH, message, hint="headers mirror the body; send both the same")


# --- capabilities of the caller ------------------------------------------------------------


def declares(client_capabilities: Raw, *path: str) -> bool:
    """Say whether the caller declared a capability, such as `declares(raw, "elicitation", "url")`."""
    node: object = msgspec.json.decode(client_capabilities)
    for name in path:
        if not isinstance(node, dict) or name not in node:
            return False
        node = cast("dict[str, object]", node)[name]
    return True
