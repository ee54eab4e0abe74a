"""Every spelling of an inner address that has slipped past a guard somewhere."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.egress.addresses import is_public, reach


@pytest.mark.parametrize(
    "ip",
    ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_the_open_internet_is_public(ip: str) -> None:
    assert is_public(ip)


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "::1",
        "fd12::1",
        "fc00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::10.1.2.3",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:192.168.0.1",
    ],
)
def test_the_operators_own_networks_are_private_however_they_are_wrapped(ip: str) -> None:
    assert reach(ip) == "private"


@pytest.mark.parametrize(
    "ip",
    [
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::127.0.0.1",
        "::8.8.8.8",
        "64:ff9b:1::1",
        "64:ff9b::a9fe:a9fe",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "100::1",
        "2001::7f00:1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fe80::1",
        "fe80::1%lo",
        "2606:4700::1%eth0",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "2606:4700::5efe:169.254.169.254",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "",
        "localhost",
    ],
)
def test_metadata_reserved_and_odd_addresses_are_for_nobody(ip: str) -> None:
    assert reach(ip) == "forbidden"
    assert not is_public(ip)


@given(st.ip_addresses(v=4))
def test_a_wrapped_ipv4_address_is_never_more_open_than_the_bare_one(ip: IPv4Address) -> None:
    bare = reach(ip)
    assert reach(IPv6Address(f"::ffff:{ip}")) == bare
    assert reach(IPv6Address(f"64:ff9b::{ip}")) == bare
    assert not is_public(IPv6Address((0x2002 << 112) | int(ip) << 80))


@given(st.ip_addresses())
def test_public_is_never_wider_than_what_the_standard_library_calls_global(ip: IPv4Address | IPv6Address) -> None:
    inner = ip.ipv4_mapped if isinstance(ip, IPv6Address) and ip.ipv4_mapped else ip
    assert not is_public(ip) or inner.is_global
