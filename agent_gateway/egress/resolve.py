"""Resolve: the checked addresses of a host, the only ones a connection may use.

Every outbound connection comes through here and then dials what it got back,
so a name cannot mean one thing when checked and another when dialled.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from socket import AddressFamily

from agent_gateway.egress.addresses import reach
from gateway_policies.refusal import UpstreamUnreachable

MAX_HOST_LENGTH = 253
MAX_ADDRESSES = 64
MAX_LOOKUPS = 32  # threads of this process that may wait for the resolver
LOOKUP_TIMEOUT_S = 5.0
_NOT_IN_A_HOST = frozenset(" /\\@?#%[]<>\"'`^{|}")

Address = tuple[AddressFamily, str]  # (family, IP literal)
Getaddrinfo = Callable[[str, int], Awaitable[Sequence[Address]]]


@dataclass(frozen=True, slots=True)
class EgressRules:
    """Where the connections of one upstream may end.

    allow_private  the operator's own networks too (loopback, RFC 1918, ULA, carrier range)
    allowed_hosts  hosts, lower case, for which alone that holds
    Link-local, metadata, multicast and reserved addresses stay closed whatever is set.
    """

    allow_private: bool = False
    allowed_hosts: frozenset[str] = frozenset()


async def system_getaddrinfo(host: str, port: int) -> Sequence[Address]:
    """Ask the system's resolver, in a thread of our own pool; raises `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_threads(), _lookup, host, port)
    return [(family, str(where[0])) for family, _, _, _, where in found]


async def resolve(
    host: str,
    port: int,
    rules: EgressRules,
    *,
    getaddrinfo: Getaddrinfo = system_getaddrinfo,
    timeout_s: float = LOOKUP_TIMEOUT_S,
) -> list[Address]:
    """Return the addresses to dial for `host`, in the resolver's order, each one allowed.

    host  a name or an IP literal, brackets off or on; odd spellings count as what they resolve to
    Raises `UpstreamUnreachable`: code `egress_denied` when *any* address is not allowed or the host is
    no host, its own code when nothing is found in time. Messages name no address.
    """
    name = _checked_name(host, port)
    try:
        async with asyncio.timeout(timeout_s):
            found = list(dict.fromkeys(await getaddrinfo(name, port)))
    except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
        raise UpstreamUnreachable("the host of this upstream cannot be resolved") from error
    if not found:
        raise UpstreamUnreachable("the host of this upstream has no address")
    may_be_private = rules.allow_private or name in rules.allowed_hosts
    allowed = ("public", "private") if may_be_private else ("public",)
    if len(found) > MAX_ADDRESSES or any(reach(ip) not in allowed for _, ip in found):
        raise _denied("the host of this upstream has an address that connections may not go to")
    return found


def _checked_name(host: str, port: int) -> str:
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    name = name.lower()
    is_text = name.isprintable() and not _NOT_IN_A_HOST & set(name)
    if not name or len(name) > MAX_HOST_LENGTH or not is_text or not 0 < port < 65536:
        raise _denied("this upstream's host or port is not one")
    return name


def _denied(message: str) -> UpstreamUnreachable:
    return UpstreamUnreachable(
        message,
        code="egress_denied",
        hint="an operator can allow private addresses for a registered upstream",
    )


def _lookup(host: str, port: int) -> list[tuple[AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


@cache
def _threads() -> ThreadPoolExecutor:
    """Threads apart from the loop's own: a resolver that hangs holds up name lookups only."""
    return ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="resolve")
