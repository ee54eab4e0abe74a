"""One request to the registry, whatever form it speaks: who sent it, and how it is refused."""

import msgspec

from agent_gateway.audit import records
from agent_gateway.identity import challenge
from agent_gateway.listeners.body import Scope, Send
from agent_gateway.listeners.mcp_error import retry_header
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.runtime.agents import REGISTRY
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.snapshot import Snapshot
from gateway_policies.principal import Principal
from gateway_policies.refusal import Refusal, Unauthenticated


class RegistryRequest:
    """One request, and who sent it once that is known."""

    def __init__(self, gateway: Gateway, snapshot: Snapshot, scope: Scope) -> None:
        self._gateway = gateway
        self._snapshot = snapshot
        self._scope = scope
        self._principal: Principal | None = None

    async def refuse(self, send: Send, refusal: Refusal, status: int, document: object) -> None:
        """Answer with a refusal, said by `document`, and leave one record of it."""
        client = self._scope.get("client")
        origin = records.Origin("registry", str(client[0]) if client else "")
        self._gateway.record_refusal(refusal.code, status, origin, self._principal)
        headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json"), *retry_header(refusal)]
        if isinstance(refusal, Unauthenticated):
            said = challenge.unauthorized(refusal, self._snapshot.identity.endpoints.metadata_url(REGISTRY))
            headers.append((b"www-authenticate", said.encode("latin-1")))
        await send_bytes(send, status, msgspec.json.encode(document), headers)
