"""Agent cards in the three shapes, with a URL of their own in every member that can carry one."""

from typing import Any, Final

SKILLS: Final[list[dict[str, Any]]] = [
    {
        "id": "search",
        "name": "Search",
        "description": "Searches; see http://researcher.internal:9999/help or RESEARCHER.INTERNAL",
        "tags": ["web"],
        "examples": ["find x at //10.1.2.3:8080/y"],
        "inputModes": ["text/markdown"],
        "securityRequirements": [{"schemes": {"own": {"list": []}}}],
        "security": [{"own": []}],
    },
    {"id": "summarise", "name": "Summarise", "description": "", "tags": []},
]

COMMON: Final[dict[str, Any]] = {
    "name": "Researcher",
    "description": "Reads the web for you, from researcher%2Einternal",
    "version": "2.1",
    "provider": {"organization": "Acme", "url": "https://acme.example/about"},
    "iconUrl": "http://researcher.internal:9999/icon.png",
    "documentationUrl": "https://docs.acme.example/",
    "capabilities": {
        "streaming": True,
        "pushNotifications": True,
        "extendedAgentCard": True,
        "extensions": [
            {
                "uri": "https://example.org/ext/v1",
                "required": True,
                "params": {"callback": "http://10.1.2.3:8080/cb", "http://researcher.internal/key": [1, None]},
            }
        ],
    },
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": SKILLS,
    "signatures": [{"protected": "e30", "signature": "AA", "header": {"jku": "http://researcher.internal/jwks"}}],
    "x-unknown": {
        "endpoint": "http://user:pw@researcher.internal:9999/secret",
        "big": 12345678901234567890,
        "no": False,
    },
}

NEW: Final[dict[str, Any]] = {
    **COMMON,
    "supportedInterfaces": [
        {
            "url": "http://researcher.internal:9999/rpc",
            "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0",
            "tenant": "blue",
        },
        {
            "url": "http://researcher.internal:9999/rest",
            "protocolBinding": "HTTP+JSON",
            "protocolVersion": "1.0.1",
        },
        {"url": "researcher.internal:50051", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
    ],
    "securitySchemes": {
        "own": {
            "oauth2SecurityScheme": {
                "flows": {"clientCredentials": {"tokenUrl": "http://researcher.internal:9999/token", "scopes": {}}}
            }
        }
    },
    "securityRequirements": [{"schemes": {"own": {"list": []}}}],
}

OLD: Final[dict[str, Any]] = {
    **COMMON,
    "url": "http://researcher.internal:9999/",
    "preferredTransport": "JSONRPC",
    "protocolVersion": "0.3.0",
    "additionalInterfaces": [
        {"url": "http://researcher.internal:9999/", "transport": "JSONRPC"},
        {"url": "http://10.1.2.3:8080/rest", "transport": "HTTP+JSON"},
    ],
    "supportsAuthenticatedExtendedCard": True,
    "securitySchemes": {"own": {"type": "openIdConnect", "openIdConnectUrl": "http://researcher.internal:9999/oidc"}},
    "security": [{"own": []}],
}

DUAL: Final[dict[str, Any]] = {
    **OLD,
    **NEW,
    "supportedInterfaces": [
        {"url": "http://researcher.internal:9999/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": "http://researcher.internal:9999/old", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
    ],
}
