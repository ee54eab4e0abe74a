"""The client behind a request, as it declared itself: with each request, or once for its session."""

from dataclasses import dataclass, field

import msgspec
from msgspec import Raw

from mcp_registry.protocol import envelope
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError
from mcp_registry.protocol.inbound import declares

MAX_CAPABILITIES_BYTES = 3 * 1024  # of a session: they travel in its sealed id, in a header
MAX_INFO_BYTES = 512
_NOTHING = Raw(b"{}")


@dataclass(frozen=True, slots=True)
class Client:
    """What a client says of itself: raw JSON, unverified.

    log_level  the least severe log message it wants; None: none
    """

    capabilities: Raw = field(default_factory=lambda: _NOTHING)
    info: Raw | None = None
    log_level: str | None = None

    @property
    def has_extensions(self) -> bool:
        """Whether it declared any: what we do not know may then be between it and the upstream."""
        return b'"extensions"' in bytes(self.capabilities) and declares(self.capabilities, "extensions")


def of_handshake(params: envelope.RawObject) -> Client:
    """Return the client of an `initialize`; raises `ProtocolError` when it declares too much to carry.

    An info too long to carry is left out: it is for display only. That the client runs tasks for servers is
    left out too: what it is asked, it answers at once.
    """
    capabilities = params.get("capabilities", _NOTHING)
    try:
        compact = envelope.write(envelope.edit(envelope.read_object(capabilities), {"tasks": None}))
    except msgspec.DecodeError:
        raise ProtocolError(INVALID_PARAMS, "`capabilities` must be an object") from None
    if len(compact) > MAX_CAPABILITIES_BYTES:
        raise ProtocolError(
            INVALID_PARAMS,
            f"`capabilities` holds more than {MAX_CAPABILITIES_BYTES} bytes",
            hint="declare what the session needs",
        )
    info = params.get("clientInfo")
    return Client(Raw(compact), info if info is not None and len(bytes(info)) <= MAX_INFO_BYTES else None)


NOBODY = Client()
