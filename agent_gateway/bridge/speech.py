"""What a client on standard streams has said of itself, and the headers that its messages need in HTTP.

No network here: `bridge` sends, and tells what came back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import msgspec
from msgspec import Raw

from mcp_registry.protocol import envelope, headers
from mcp_registry.protocol.envelope import Notification, Request, Response
from mcp_registry.protocol.headers import HeaderParam, header_params, render_params
from mcp_registry.protocol.outbound import HeaderList, legacy_headers
from mcp_registry.protocol.versions import META_CLIENT_CAPABILITIES, META_VERSION

MAX_TOOLS: Final = 20_000  # whose schemas are kept in mind
STREAM_ACCEPT: Final = (b"accept", b"text/event-stream")
_POST: Final[HeaderList] = [
    (b"accept", b"application/json, text/event-stream"),
    (b"content-type", b"application/json"),
]


@dataclass(slots=True)
class Speech:
    """The state of one client's conversation.

    session  id of its legacy session, empty for none; `version` is the negotiated one
    opening  the client's own `initialize`, to open a session again when one was lost
    mirrored tool → the arguments that headers mirror; a tool that is not in it was never listed
    """

    session: str = ""
    version: str = ""
    opening: bytes = b""
    mirrored: dict[str, tuple[HeaderParam, ...]] = field(default_factory=dict[str, tuple[HeaderParam, ...]])

    def is_legacy(self, message: Request | Notification | Response) -> bool:
        """Say whether a message belongs to the handshake era."""
        if isinstance(message, Response):
            return True
        if META_VERSION in message.meta:
            return False
        return bool(self.session) or message.method == "initialize"

    def headers(self, message: Request | Notification | Response) -> HeaderList:
        """Return the headers of the POST that carries a message, all but the credential."""
        if isinstance(message, Response) or self.is_legacy(message):
            return legacy_headers(self.version, self.session)
        found = [*_POST, (b"mcp-method", headers.encode_value(message.method).encode())]
        meta = cast("Mapping[str, object]", message.parsed.get("_meta", {}))
        version = meta.get(META_VERSION)
        if isinstance(version, str):
            found.append((b"mcp-protocol-version", headers.encode_value(version).encode()))
        member = headers.NAME_BEARING.get(message.method)
        name = message.parsed.get(member) if member else None
        if isinstance(name, str):
            found.append((b"mcp-name", headers.encode_value(name).encode()))
            found += self._mirrored(message, name)
        return found

    def _mirrored(self, message: Request | Notification, name: str) -> HeaderList:
        params = self.mirrored.get(name, ()) if message.method == "tools/call" else ()
        arguments = message.parsed.get("arguments")
        if not params or not isinstance(arguments, dict):
            return []
        values = render_params(params, cast("dict[str, object]", arguments))
        return [(header.encode(), value.encode()) for header, value in values.items()]

    def stream_headers(self, last_id: str) -> HeaderList:
        """Return the headers of a GET for the session's stream, or for what is left of an answer."""
        mine = [pair for pair in legacy_headers(self.version, self.session) if pair[0].startswith(b"mcp-")]
        return [STREAM_ACCEPT, *mine, *([(b"last-event-id", last_id.encode())] if last_id else [])]

    def opened(self, result: Raw, session: str) -> None:
        """Take note of the answer to `initialize`."""
        try:
            self.version = msgspec.json.decode(result, type=_Opened).protocolVersion
        except msgspec.DecodeError:
            self.version = ""
        self.session = session

    def listed(self, result: Raw) -> str | None:
        """Take note of a page of tools; return the cursor of the next one."""
        try:
            page = msgspec.json.decode(result, type=_Page)
        except msgspec.DecodeError:
            return None
        for tool in page.tools:
            if len(self.mirrored) < MAX_TOOLS:
                try:
                    self.mirrored[tool.name] = header_params(msgspec.json.decode(tool.inputSchema))
                except (ValueError, msgspec.DecodeError):
                    self.mirrored[tool.name] = ()
        return page.nextCursor


def list_message(id_raw: bytes, cursor: str | None, like: Request) -> Request:
    """Return a `tools/list` of our own, declaring what `like` declares."""
    keys = (META_VERSION, META_CLIENT_CAPABILITIES)
    meta = {key: like.meta[key] for key in keys if key in like.meta}
    params = {"_meta": Raw(envelope.write(meta))}
    if cursor is not None:
        params["cursor"] = Raw(envelope.write(cursor))
    made = envelope.read_message(envelope.request(id_raw, "tools/list", params))
    assert isinstance(made, Request)
    return made


class _Opened(msgspec.Struct):
    protocolVersion: str = ""  # noqa: N815 - the wire's word


class _Tool(msgspec.Struct):
    name: str
    inputSchema: Raw = Raw(b"{}")  # noqa: N815 - the wire's word


class _Page(msgspec.Struct):
    tools: list[_Tool] = msgspec.field(default_factory=list[_Tool])
    nextCursor: str | None = None  # noqa: N815 - the wire's word
