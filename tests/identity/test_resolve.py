"""A name is dialled only at addresses that were checked, all of them."""

import socket
from collections.abc import Sequence
from socket import AddressFamily

import anyio
import pytest

from agent_gateway.egress.resolve import MAX_ADDRESSES, Address, EgressRules, Getaddrinfo, resolve
from gateway_policies.refusal import UpstreamUnreachable

V4, V6 = socket.AF_INET, socket.AF_INET6
PUBLIC_ONLY = EgressRules()


def answering(*ips: str) -> Getaddrinfo:
    async def getaddrinfo(host: str, port: int) -> Sequence[Address]:
        return [(V6 if ":" in ip else V4, ip) for ip in ips]

    return getaddrinfo


async def refused(host: str, *ips: str, rules: EgressRules = PUBLIC_ONLY, port: int = 443) -> str:
    with pytest.raises(UpstreamUnreachable) as caught:
        await resolve(host, port, rules, getaddrinfo=answering(*ips))
    assert not any(ip in caught.value.message for ip in ips)
    return caught.value.code


async def test_public_addresses_come_back_in_order_without_doubles() -> None:
    found = await resolve("a.example", 443, PUBLIC_ONLY, getaddrinfo=answering("8.8.8.8", "2606:4700::1", "8.8.8.8"))
    assert found == [(V4, "8.8.8.8"), (V6, "2606:4700::1")]


async def test_one_inner_address_among_public_ones_refuses_the_host() -> None:
    assert await refused("a.example", "8.8.8.8", "10.0.0.1") == "egress_denied"


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "0x7f000001",
        "127.0.0.1",
        "[::1]",
        "::1",
        "[::ffff:127.0.0.1]",
        "0",
    ],
)
async def test_spellings_of_loopback_are_judged_by_what_the_system_makes_of_them(host: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        await resolve(host, 80, PUBLIC_ONLY)


@pytest.mark.parametrize("ip", ["64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:127.0.0.1", "169.254.169.254"])
async def test_wrapped_and_metadata_addresses_are_denied(ip: str) -> None:
    assert await refused("a.example", ip) == "egress_denied"


async def test_an_operator_can_open_private_addresses_for_all_hosts_or_for_one() -> None:
    inner = answering("10.0.0.1")
    assert await resolve("a.example", 80, EgressRules(allow_private=True), getaddrinfo=inner) == [(V4, "10.0.0.1")]
    one = EgressRules(allowed_hosts=frozenset({"a.example"}))
    assert await resolve("A.example", 80, one, getaddrinfo=inner) == [(V4, "10.0.0.1")]
    assert await refused("b.example", "10.0.0.1", rules=one) == "egress_denied"


@pytest.mark.parametrize("ip", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1"])
async def test_nothing_opens_metadata_and_reserved_addresses(ip: str) -> None:
    rules = EgressRules(allow_private=True, allowed_hosts=frozenset({"a.example"}))
    assert await refused("a.example", ip, rules=rules) == "egress_denied"


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a\x00b", "a\n", "u@127.0.0.1", "a\\@b", "a/b", "fe80::1%lo", "[[::1]]", "x" * 254, "a#b", "a\u202eb"],
)
async def test_what_is_no_host_is_denied_unasked(host: str) -> None:
    assert await refused(host, "8.8.8.8") == "egress_denied"


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_what_is_no_port_is_denied(port: int) -> None:
    assert await refused("a.example", "8.8.8.8", port=port) == "egress_denied"


async def test_a_host_with_absurdly_many_addresses_is_denied() -> None:
    ips = [f"8.8.8.{n}" for n in range(MAX_ADDRESSES + 1)]
    assert await refused("a.example", *ips) == "egress_denied"


async def test_an_unknown_host_is_unreachable_and_nothing_more() -> None:
    async def unknown(host: str, port: int) -> Sequence[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    with pytest.raises(UpstreamUnreachable) as caught:
        await resolve("nowhere.example", 443, PUBLIC_ONLY, getaddrinfo=unknown)
    assert caught.value.code == "upstream_unreachable"
    assert await refused("empty.example") == "upstream_unreachable"


async def test_a_resolver_that_hangs_is_given_up() -> None:
    async def hangs(host: str, port: int) -> Sequence[tuple[AddressFamily, str]]:
        await anyio.sleep_forever()
        return []

    with anyio.fail_after(5), pytest.raises(UpstreamUnreachable):
        await resolve("slow.example", 443, PUBLIC_ONLY, getaddrinfo=hangs, timeout_s=0.01)


async def test_the_systems_resolver_serves_a_real_name() -> None:
    found = await resolve("localhost", 80, EgressRules(allow_private=True))
    assert {ip for _, ip in found} <= {"127.0.0.1", "::1"}
