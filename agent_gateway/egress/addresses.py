"""Addresses: may a connection of ours end at this IP?

Decides on the number that a socket would dial, never on how a URL spells it.
Looking names up is the work of `resolve`; values only, no network.

The lists are explicit because `ipaddress.is_global` calls NAT64, 6to4,
site-local, IPv4-compatible and multicast addresses global.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

Reach = Literal["public", "private", "forbidden"]

# What an operator may open for a registered upstream: its own machines.
_PRIVATE_V4 = tuple(
    map(
        IPv4Network,
        ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"),
    )
)
_PRIVATE_V6 = tuple(map(IPv6Network, ("::1/128", "fc00::/7")))

# What nobody may open: metadata services, this-network, link-local, multicast, documentation, reserved.
_FORBIDDEN_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "100.100.100.200/32",  # metadata of one cloud, inside the carrier range
            "168.63.129.16/32",  # the host of another, a public number
            "169.254.0.0/16",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_FORBIDDEN_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
            "2001:db8::/32",
            "2002::/16",  # 6to4: deprecated, and a way to write any IPv4 address
            "3fff::/20",
            "fd00:ec2::254/128",
            "fd20:ce::254/128",
        ),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # third quarter of an interface id that ends in an IPv4 address


def reach(ip: str | IPv4Address | IPv6Address) -> Reach:
    """Say who may be dialled at `ip`: anybody, only the operator's own choice, or nobody.

    ip  a literal; text that `ipaddress` does not take (`127.1`, `0x7f.1`) is forbidden

    IPv4 addresses inside IPv6 ones (mapped, NAT64, ISATAP) answer for themselves; 6to4 and
    Teredo are forbidden whatever they hold.
    """
    try:
        address = ip_address(ip) if isinstance(ip, str) else ip
    except ValueError:
        return "forbidden"
    return _reach_v4(address) if isinstance(address, IPv4Address) else _reach_v6(address)


def is_public(ip: str | IPv4Address | IPv6Address) -> bool:
    """Tell whether `ip` is on the open internet; anything doubtful is not."""
    return reach(ip) == "public"


def _reach_v4(address: IPv4Address) -> Reach:
    if any(address in network for network in _FORBIDDEN_V4):
        return "forbidden"
    if any(address in network for network in _PRIVATE_V4):
        return "private"
    return "public"


def _reach_v6(address: IPv6Address) -> Reach:
    if address.scope_id is not None:
        return "forbidden"
    if address.ipv4_mapped is not None:
        return _reach_v4(address.ipv4_mapped)
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _NAT64:
        return _reach_v4(last)
    if any(address in network for network in _FORBIDDEN_V6):
        return "forbidden"
    if any(address in network for network in _PRIVATE_V6):
        return "private"
    if address not in _GLOBAL_V6:
        return "forbidden"
    return _reach_v4(last) if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP else "public"
