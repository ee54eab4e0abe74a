"""What we send to an upstream, in its era, and what its answer to the probe says of it.

Bytes and headers only: connections, sessions and the choice of ids are left to
`agent_gateway.upstreams`.
Source: MCP 2026-07-28 and 2025-11-25, basic/transports and basic/versioning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
from msgspec import Raw

from mcp_registry.protocol import envelope, headers
from mcp_registry.protocol.envelope import RawObject, Response
from mcp_registry.protocol.errors import MODERN_CODES, UNSUPPORTED_PROTOCOL_VERSION
from mcp_registry.protocol.headers import HeaderParam
from mcp_registry.protocol.versions import (
    LATEST_LEGACY,
    LATEST_MODERN,
    LEGACY_VERSIONS,
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_VERSION,
    MODERN_VERSIONS,
    PROTOCOL_META_KEYS,
    TRACE_META_KEYS,
)

HeaderList = list[tuple[bytes, bytes]]

NO_CAPABILITIES: Final = Raw(b"{}")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message for an upstream, free of either era.

    id              raw JSON, ours
    params          raw members; protocol keys and progress token of the caller are dropped
    name            what `Mcp-Name` says; empty for a method that bears none
    header_params   the arguments to mirror, with `arguments` as Python values
    progress_token  raw JSON, ours; None when no progress is wanted
    log_level       raw JSON; modern only
    trace           `traceparent`, `tracestate`, `baggage`; other keys are dropped
    """

    id: bytes
    method: str
    params: RawObject = field(default_factory=dict[str, Raw])
    name: str = ""
    header_params: Sequence[HeaderParam] = ()
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    progress_token: bytes | None = None
    log_level: bytes | None = None
    trace: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who the upstream is told is calling: `info` is ours, `capabilities` those of this call."""

    info: Raw
    capabilities: Raw = field(default_factory=lambda: NO_CAPABILITIES)
    version: str = LATEST_MODERN


def modern_body(outgoing: Outgoing, speaker: Speaker) -> bytes:
    """Write the message with the `_meta` keys that 2026-07-28 wants in every request."""
    meta = _own_meta(outgoing)
    meta[META_VERSION] = Raw(envelope.write(speaker.version))
    meta[META_CLIENT_CAPABILITIES] = speaker.capabilities
    meta[META_CLIENT_INFO] = speaker.info
    if outgoing.log_level is not None:
        meta[META_LOG_LEVEL] = Raw(outgoing.log_level)
    for key in TRACE_META_KEYS:
        if key in outgoing.trace:
            meta[key] = Raw(envelope.write(outgoing.trace[key]))
    params = envelope.edit(outgoing.params, {"_meta": envelope.write(meta)})
    return envelope.request(outgoing.id, outgoing.method, params)


def modern_headers(outgoing: Outgoing, speaker: Speaker) -> HeaderList:
    """Return the headers of the modern POST, all but `Host`, `Content-Length` and the credential."""
    found: HeaderList = [
        *_POST_HEADERS,
        (b"mcp-protocol-version", speaker.version.encode()),
        (b"mcp-method", headers.encode_value(outgoing.method).encode()),
    ]
    if outgoing.method in headers.NAME_BEARING:
        found.append((b"mcp-name", headers.encode_value(outgoing.name).encode()))
    if outgoing.header_params:
        mirrored = headers.render_params(outgoing.header_params, outgoing.arguments)
        found.extend((name.encode(), value.encode()) for name, value in mirrored.items())
    return found + trace_headers(outgoing.trace)


def legacy_body(outgoing: Outgoing) -> bytes:
    """Write the message for the handshake era: no protocol keys, `_meta` only when something is in it."""
    meta = _own_meta(outgoing)
    params = envelope.edit(outgoing.params, {"_meta": envelope.write(meta) if meta else None})
    return envelope.request(outgoing.id, outgoing.method, params)


def legacy_headers(version: str, session_id: str, trace: Mapping[str, str] | None = None) -> HeaderList:
    """Return the headers of a POST in a session.

    version     negotiated; empty before that. 2025-03-26 and older do not know the header
    session_id  empty when the upstream gave none
    """
    found = list(_POST_HEADERS)
    if version in LEGACY_VERSIONS[2:]:
        found.append((b"mcp-protocol-version", version.encode()))
    if session_id:
        found.append((b"mcp-session-id", session_id.encode()))
    return found + trace_headers(trace or {})


def trace_headers(trace: Mapping[str, str]) -> HeaderList:
    """Return W3C trace context as HTTP headers; values that no header carries are left out."""
    return [
        (key.encode(), trace[key].encode())
        for key in TRACE_META_KEYS
        if key in trace and headers.encode_value(trace[key]) == trace[key]
    ]


def discover(id_raw: bytes, speaker: Speaker) -> tuple[HeaderList, bytes]:
    """Return headers and body of the probe `server/discover`."""
    outgoing = Outgoing(id_raw, "server/discover")
    return modern_headers(outgoing, speaker), modern_body(outgoing, speaker)


def initialize(id_raw: bytes, speaker: Speaker, *, version: str = LATEST_LEGACY) -> bytes:
    """Write the handshake's first message."""
    params = {
        "protocolVersion": Raw(envelope.write(version)),
        "capabilities": speaker.capabilities,
        "clientInfo": speaker.info,
    }
    return envelope.request(id_raw, "initialize", params)


INITIALIZED: Final = envelope.notification("notifications/initialized", {})


# --- the probe -------------------------------------------------------------------------------

Verdict = Literal["modern", "legacy", "old_sse", "unclear"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What one answer says of an upstream.

    verdict  `modern`: speak `version`. `legacy`: send `initialize`, or it has just answered it with
             `version`. `old_sse`: the HTTP+SSE transport of 2024-11-05. `unclear`: the answer
             says nothing of the era (a credential, a rate, a fault); ask again later.
    result   the raw result of a successful answer
    """

    verdict: Verdict
    version: str = ""
    result: Raw | None = None


def read_probe(asked: Literal["server/discover", "initialize"], status: int, body: bytes) -> Probe:
    """Judge the answer to the probe, or to the `initialize` that followed it.

    status  of HTTP; 200 for an answer on stdio
    body    the JSON message (the event's data when it came as an event stream), or whatever came

    Never keyed on one code: servers of the handshake era refuse the probe each in their own way.
    """
    message = envelope.read_answer(body)
    answer = message if isinstance(message, Response) else None
    if answer and answer.error is not None:
        modern = _read_modern_error(answer.error)
        if modern:
            return modern
    if status in _SAYS_NOTHING or status >= 500:
        return Probe("unclear")
    if answer and answer.result is not None and 200 <= status < 300:
        return _read_result(asked, answer.result)
    if asked == "server/discover":
        return Probe("legacy")
    return Probe("old_sse" if answer is None and status in _NO_POST_HERE else "unclear")


def _read_result(asked: str, result: Raw) -> Probe:
    try:
        found = _PROBE_RESULT.decode(result)
    except msgspec.DecodeError:
        return Probe("legacy" if asked == "server/discover" else "unclear")
    if asked == "initialize":
        is_served = found.protocolVersion in LEGACY_VERSIONS
        return Probe("legacy", found.protocolVersion, result) if is_served else Probe("unclear")
    return _from_versions(found.supportedVersions, result)


def _read_modern_error(error: Raw) -> Probe | None:
    """Return what a modern error code says, or None when the error is none."""
    try:
        found = _PROBE_ERROR.decode(error)
    except msgspec.DecodeError:
        return None
    if found.code not in MODERN_CODES:
        return None
    if found.code != UNSUPPORTED_PROTOCOL_VERSION:
        return Probe("modern", LATEST_MODERN)
    try:
        return _from_versions(_VERSION_DATA.decode(found.data).supported, None)
    except msgspec.DecodeError:
        return Probe("unclear")


def _from_versions(supported: Sequence[str], result: Raw | None) -> Probe:
    shared = [version for version in MODERN_VERSIONS if version in supported]
    if shared:
        return Probe("modern", shared[-1], result)
    is_legacy = not supported or any(version in LEGACY_VERSIONS for version in supported)
    return Probe("legacy" if is_legacy else "unclear")


class _ProbeResult(msgspec.Struct):
    supportedVersions: list[str] = msgspec.field(default_factory=list[str])  # noqa: N815 - the wire's word
    protocolVersion: str = ""  # noqa: N815 - the wire's word


class _ProbeError(msgspec.Struct):
    code: int
    data: Raw = Raw(b"null")


class _VersionData(msgspec.Struct):
    supported: list[str]


def _own_meta(outgoing: Outgoing) -> RawObject:
    """Return the caller's own `_meta` members, with our progress token in place of theirs."""
    theirs = outgoing.params.get("_meta")
    meta = {} if theirs is None else envelope.read_object(theirs)
    for key in (*PROTOCOL_META_KEYS, "progressToken"):
        meta.pop(key, None)
    if outgoing.progress_token is not None:
        meta["progressToken"] = Raw(outgoing.progress_token)
    return meta


_POST_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"accept", b"application/json, text/event-stream"),
    (b"content-type", b"application/json"),
)
_SAYS_NOTHING: Final = frozenset({401, 403, 407, 408, 425, 429})
_NO_POST_HERE: Final = frozenset({400, 404, 405})
_PROBE_RESULT: Final = msgspec.json.Decoder(_ProbeResult)
_PROBE_ERROR: Final = msgspec.json.Decoder(_ProbeError)
_VERSION_DATA: Final = msgspec.json.Decoder(_VersionData)
