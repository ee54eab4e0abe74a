"""The gRPC channel to one agent: dialled at an address that egress checked, made anew when its connection is gone.

gRPC itself is told an address and never a name: its resolver, its proxies and its retries are out of the way.
Whoever serves under that address proves over TLS that it is the host.
"""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from socket import AF_INET6, AddressFamily
from typing import Any, Final

from agent_gateway.egress.resolve import Getaddrinfo, resolve, system_getaddrinfo
from agent_gateway.upstreams.a2a_http import AgentSettings
from agent_gateway.upstreams.grpc_service import grpc_library
from agent_gateway.upstreams.h1_request import target_of
from agent_gateway.upstreams.http_places import busy, closed
from gateway_policies.refusal import UpstreamUnreachable

MAX_DIALS: Final = 3  # addresses of a host that are tried for one channel
MAX_METADATA_BYTES: Final = 16 * 1024  # that an agent may send with one answer
IDLE_MS: Final = 60_000  # a channel without calls gives its connection up after this
_IDENTITY_ALONE: Final = 1  # a set of compressions, as bits


class Link:
    """One channel and the calls on it."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.calls: set[Any] = set()
        self.is_closed = False

    async def aclose(self) -> None:
        """End every call and the connection."""
        self.is_closed = True
        for call in list(self.calls):
            call.cancel()
        await self.channel.close()


class Links:
    """Channels to one agent: the current one, and those whose last calls still run.

    roots  certificates that servers are verified with (PEM); None: the system's file, or gRPC's own where there is none
    getaddrinfo  the resolver below the egress rules
    """

    def __init__(
        self, settings: AgentSettings, *, roots: bytes | None = None, getaddrinfo: Getaddrinfo = system_getaddrinfo
    ) -> None:
        self._grpc = grpc_library()
        self._settings = settings
        self._target = target_of(settings.url)
        self._roots = roots if roots is not None else _system_roots()
        self._getaddrinfo = getaddrinfo
        self._opening = asyncio.Lock()
        self._links: list[Link] = []  # the current one last
        self._is_closed = False

    async def ready(self) -> Link:
        """Return a channel that is connected.

        Raises `UpstreamUnreachable`: `egress_denied`, `upstream_busy` when as many calls run as may, or its own code.
        """
        async with self._opening:
            if self._is_closed:
                raise closed()
            if sum(len(link.calls) for link in self._links) >= self._settings.limits.max_connections:
                raise busy("as many calls to this agent are running as may run at once")
            if self._links and self._links[-1].channel.get_state() is self._grpc.ChannelConnectivity.READY:
                return self._links[-1]
            await self._leave_idle()
            link = Link(await self._open())
            self._links.append(link)
        if self._is_closed:
            await link.aclose()
            raise closed()
        return link

    async def aclose(self) -> None:
        """End every call and every connection."""
        self._is_closed = True
        for link in self._links:
            await link.aclose()

    async def _leave_idle(self) -> None:
        """Close channels whose connection is gone; an agent that says good-bye still ends the calls it has."""
        done = [link for link in self._links if not link.calls]
        self._links = [link for link in self._links if link.calls]
        for link in done:
            await link.aclose()

    async def _open(self) -> Any:
        try:
            async with asyncio.timeout(self._settings.timeouts.connect_s):
                addresses = await resolve(
                    self._target.host, self._target.port, self._settings.rules, getaddrinfo=self._getaddrinfo
                )
                for family, ip in addresses[:MAX_DIALS]:
                    channel = await self._connected(family, ip)
                    if channel is not None:
                        return channel
        except TimeoutError as error:
            raise UpstreamUnreachable("no connection to the agent within its time limit") from error
        raise UpstreamUnreachable("the agent refuses connections, or does not prove over TLS that it is its host")

    async def _connected(self, family: AddressFamily, ip: str) -> Any:
        """Return a channel to one address, None when nothing can be had there."""
        states = self._grpc.ChannelConnectivity
        channel = self._channel(f"ipv6:[{ip}]" if family == AF_INET6 else f"ipv4:{ip}")
        is_ready = False
        try:
            while not is_ready:
                state = channel.get_state(try_to_connect=True)
                if state in (states.TRANSIENT_FAILURE, states.SHUTDOWN):
                    return None
                is_ready = state is states.READY
                if not is_ready:
                    await channel.wait_for_state_change(state)
        finally:
            if not is_ready:
                await channel.close()
        return channel

    def _channel(self, address: str) -> Any:
        where = f"{address}:{self._target.port}"
        if not self._target.is_tls:
            return self._grpc.aio.insecure_channel(where, options=self._options())
        credentials = self._grpc.ssl_channel_credentials(root_certificates=self._roots)
        named = ("grpc.ssl_target_name_override", self._target.host)
        return self._grpc.aio.secure_channel(where, credentials, options=[*self._options(), named])

    def _options(self) -> Sequence[tuple[str, Any]]:
        return [
            ("grpc.default_authority", self._target.host_header.decode()),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.use_local_subchannel_pool", 1),  # no other upstream shares a connection
            ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ALONE),
            ("grpc.max_receive_message_length", self._settings.limits.max_result),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.client_idle_timeout_ms", IDLE_MS),
        ]


def _system_roots() -> bytes | None:
    found = ssl.get_default_verify_paths().cafile
    return Path(found).read_bytes() if found else None
