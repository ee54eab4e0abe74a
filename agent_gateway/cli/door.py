"""How a listener of this machine's gateway is reached from the command line."""

from dataclasses import dataclass
from typing import Final

from agent_gateway.config.listeners import Listener
from agent_gateway.egress.control_client import MAX_BODY_BYTES, ControlClient, ControlResponse
from agent_gateway.egress.resolve import EgressRules

ADMIN_TIMEOUT_S: Final = 15.0
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}  # noqa: S104 -- what we dial instead


@dataclass(frozen=True, slots=True)
class Door:
    """A listener of this gateway as it is reached from its own machine: at the bound address, under its public name."""

    listener: Listener
    timeout_s: float = ADMIN_TIMEOUT_S

    @property
    def address(self) -> str:
        """Where it listens, `http://host:port`."""
        host = _ANY_ADDRESS.get(self.listener.host, self.listener.host)
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.listener.port}"

    async def send(
        self,
        method: str,
        path: str,
        headers: list[tuple[str, str]],
        body: bytes = b"",
        *,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> ControlResponse:
        """Send one request; raises `UpstreamUnreachable` when nobody listens, `UpstreamFailed` for a broken answer."""
        host = self.listener.url.partition("://")[2].partition("/")[0]
        rules = EgressRules(allow_private=True)
        async with ControlClient(rules, timeout_s=self.timeout_s) as client:
            named = [("host", host), *headers]
            return await client.send(method, self.address + path, headers=named, body=body, max_bytes=max_bytes)
