"""MCP versions and eras, as data. Source: `mcp_types.version` and the specification's revisions."""

from typing import Final, Literal

from mcp_types.version import (
    HANDSHAKE_PROTOCOL_VERSIONS,
    LATEST_HANDSHAKE_VERSION,
    LATEST_MODERN_VERSION,
    MODERN_PROTOCOL_VERSIONS,
)

Era = Literal["legacy", "modern"]

LEGACY_VERSIONS: Final[tuple[str, ...]] = HANDSHAKE_PROTOCOL_VERSIONS
MODERN_VERSIONS: Final[tuple[str, ...]] = MODERN_PROTOCOL_VERSIONS
LATEST_LEGACY: Final = LATEST_HANDSHAKE_VERSION
LATEST_MODERN: Final = LATEST_MODERN_VERSION

META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CLIENT_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT_INFO: Final = "io.modelcontextprotocol/clientInfo"
META_SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"
META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
PROTOCOL_META_KEYS: Final = frozenset({META_VERSION, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL})
TRACE_META_KEYS: Final = ("traceparent", "tracestate", "baggage")
