"""Keys of other issuers: cached, refreshed by rule, dropped when they are gone or old."""

import json
from collections.abc import Sequence

import anyio
import pytest
from joserfc.jwk import Key, OctKey, OKPKey

from agent_gateway.identity.compact import Malformed
from agent_gateway.identity.jwks import MAX_KEYS, Document, JwksCache, discovery_urls, keys_of
from gateway_policies.refusal import UpstreamUnreachable
from support.tokens import Ticking, ec, rsa, weak_rsa

ISS = "https://idp.example/tenant"
KEYS_URL = "https://idp.example/keys"


class Site:
    """Documents by URL; a missing one is a refusal. Counts, and can be held up."""

    def __init__(self, **headers: str) -> None:
        self.documents: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.headers = headers
        self.gate: anyio.Event | None = None
        self.started = anyio.Event()

    def publish(self, *keys: Key, url: str = KEYS_URL) -> None:
        self.documents[url] = jwks(*keys)

    async def fetch(self, url: str, max_bytes: int) -> Document:
        self.asked.append(url)
        self.started.set()
        if self.gate is not None:
            await self.gate.wait()
        if url not in self.documents:
            raise UpstreamUnreachable("no such document")
        return Document(self.documents[url], {"cache-control": self.headers.get("cache", "")})


def jwks(*keys: Key, **extra: object) -> bytes:
    return json.dumps({"keys": [{**key.as_dict(private=False), **extra} for key in keys]}).encode()


def entry(key: Key, **changes: object) -> bytes:
    return json.dumps({"keys": [{**key.as_dict(private=False), **changes}]}).encode()


async def test_keys_are_fetched_once_and_then_remembered() -> None:
    site, clock = Site(), Ticking()
    site.publish(ec("a"))
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock, jwks_url=KEYS_URL)
    assert cache.needs_fetch("a")
    await cache.refresh()
    assert cache.find("a", "ES256") is not None
    assert not cache.needs_fetch("a")
    assert site.asked == [KEYS_URL]


@pytest.mark.parametrize(
    ("said", "lives_s"),
    [("", 3600), ("max-age=600", 600), ("public, MAX-AGE=0", 300), ("max-age=99999999", 86400), ("s-maxage=600", 3600)],
)
async def test_the_time_to_live_is_the_issuers_within_our_bounds(said: str, lives_s: int) -> None:
    site, clock = Site(cache=said), Ticking()
    site.publish(ec("a"))
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock, jwks_url=KEYS_URL)
    await cache.refresh()
    clock.now += lives_s - 1
    assert not cache.needs_fetch("a")
    clock.now += 1
    assert cache.needs_fetch("a")


async def test_random_key_ids_cause_one_fetch_in_half_a_minute() -> None:
    site, clock = Site(), Ticking()
    site.publish(ec("a"))
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock, jwks_url=KEYS_URL)
    await cache.refresh()
    assert not cache.needs_fetch("random")
    clock.now += 30
    assert cache.needs_fetch("random")
    await cache.refresh()
    assert not cache.needs_fetch("other random")
    assert len(site.asked) == 2


async def test_callers_at_once_share_one_fetch_that_survives_the_first_of_them() -> None:
    site, clock = Site(), Ticking()
    site.publish(ec("a"))
    site.gate = anyio.Event()
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock, jwks_url=KEYS_URL)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            first = anyio.CancelScope()

            async def impatient() -> None:
                with first:
                    await cache.refresh()

            group.start_soon(impatient)
            for _ in range(5):
                group.start_soon(cache.refresh)
            await site.started.wait()
            first.cancel()
            site.gate.set()
    assert cache.find("a", "ES256") is not None
    assert len(site.asked) == 1


@pytest.mark.requirement("invariant.doubt-denies.idp")
async def test_old_keys_serve_for_a_day_while_the_issuer_is_down() -> None:
    site, clock = Site(), Ticking()
    site.publish(ec("a"))
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock, jwks_url=KEYS_URL)
    await cache.refresh()
    site.documents.clear()
    clock.now += 86400
    assert cache.needs_fetch("a")
    await cache.refresh()
    assert not cache.needs_fetch("a")
    assert cache.find("a", "ES256") is not None
    clock.now += 1
    assert cache.find("a", "ES256") is None


async def test_a_key_that_disappears_checks_nothing_any_more() -> None:
    site, clock = Site(), Ticking()
    site.publish(ec("a"), ec("b"))
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock, jwks_url=KEYS_URL)
    await cache.refresh()
    site.publish(ec("b"))
    await cache.refresh()
    assert cache.find("a", "ES256") is None
    assert cache.find("b", "ES256") is not None


@pytest.mark.parametrize("document", [b"", b"[]", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[],"keys":[]}', b"<html>"])
async def test_a_bad_document_leaves_the_good_keys(document: bytes) -> None:
    site, clock = Site(), Ticking()
    site.publish(ec("a"))
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock, jwks_url=KEYS_URL)
    await cache.refresh()
    site.documents[KEYS_URL] = document
    await cache.refresh()
    assert cache.find("a", "ES256") is not None


def test_metadata_is_looked_for_in_the_order_of_the_specifications() -> None:
    assert discovery_urls(ISS) == (
        "https://idp.example/.well-known/oauth-authorization-server/tenant",
        "https://idp.example/.well-known/openid-configuration/tenant",
        "https://idp.example/tenant/.well-known/openid-configuration",
    )
    assert discovery_urls("https://idp.example") == (
        "https://idp.example/.well-known/oauth-authorization-server",
        "https://idp.example/.well-known/openid-configuration",
    )


async def test_discovery_finds_the_keys() -> None:
    site, clock = Site(), Ticking()
    site.documents[discovery_urls(ISS)[2]] = json.dumps({"issuer": ISS, "jwks_uri": KEYS_URL}).encode()
    site.publish(ec("a"))
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock)
    await cache.refresh()
    assert cache.find("a", "ES256") is not None
    assert site.asked == [*discovery_urls(ISS), KEYS_URL]


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": ISS + "/", "jwks_uri": KEYS_URL},
        {"issuer": "https://evil.example", "jwks_uri": KEYS_URL},
        {"jwks_uri": KEYS_URL},
        {"issuer": ISS},
        {"issuer": ISS, "jwks_uri": "http://idp.example/keys"},
        {"issuer": ISS, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISS, "jwks_uri": 1},
    ],
)
async def test_metadata_of_somebody_else_leads_nowhere(document: dict[str, object]) -> None:
    site, clock = Site(), Ticking()
    for url in discovery_urls(ISS):
        site.documents[url] = json.dumps(document).encode()
    site.publish(ec("a"))
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock)
    await cache.refresh()
    assert cache.find("a", "ES256") is None
    assert KEYS_URL not in site.asked


def usable(document: bytes) -> Sequence[str]:
    try:
        return list(keys_of(document))
    except Malformed:
        return []


def test_only_public_strong_named_signature_keys_are_used() -> None:
    assert usable(jwks(ec("a"), rsa("b"), OKPKey.generate_key("Ed25519", {"kid": "c"}))) == ["a", "b", "c"]
    refused = [
        json.dumps({"keys": [weak_rsa("k")]}).encode(),
        json.dumps({"keys": [{**weak_rsa("k"), "n": "A" * 2000}]}).encode(),
        entry(ec("k"), use="enc"),
        entry(ec("k"), key_ops=["sign"]),
        entry(ec("k"), key_ops="verify it"),
        entry(ec("k"), key_ops=[1]),
        entry(ec("k"), d="AAAA"),
        entry(ec("k"), kty="XX"),
        entry(ec("k"), crv="P-000"),
        entry(ec("k"), x="!!"),
        entry(ec("k"), x=1),
        entry(ec("k"), kid=""),
        entry(ec("k"), kid=7),
        json.dumps({"keys": [OctKey.import_key(b"x" * 32, {"kid": "k"}).as_dict()]}).encode(),
        json.dumps({"keys": [ec("k").as_dict(private=True)]}).encode(),
        json.dumps({"keys": ["k", 1, None, []]}).encode(),
    ]
    assert [usable(document) for document in refused] == [[]] * len(refused)


def test_keys_of_one_kind_under_one_name_are_both_left_out() -> None:
    assert usable(jwks(ec("a"), ec("a"), ec("b"))) == ["b"]
    assert usable(jwks(ec("a"), rsa("a"))) == ["a"]


def test_a_key_set_has_limits() -> None:
    assert usable(jwks(*[ec(f"k{n}") for n in range(MAX_KEYS)]))
    assert not usable(jwks(*[ec(f"k{n}") for n in range(MAX_KEYS + 1)]))
    assert not usable(jwks(ec("a")) + b" " * 262_144)


async def test_a_key_serves_its_own_algorithm_only() -> None:
    site, clock = Site(), Ticking()
    site.documents[KEYS_URL] = json.dumps(
        {
            "keys": [
                {**rsa("r").as_dict(private=False), "alg": "RS256"},
                ec("e").as_dict(private=False),
                OKPKey.generate_key("Ed25519", {"kid": "o"}).as_dict(private=False),
            ]
        }
    ).encode()
    cache = JwksCache(ISS, fetch=site.fetch, clock=clock, jwks_url=KEYS_URL)
    await cache.refresh()
    allowed = {("r", "RS256"), ("e", "ES256"), ("o", "EdDSA"), ("o", "Ed25519")}
    for key_id in ("r", "e", "o", "x"):
        for algorithm in ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519", "HS256", "none"):
            assert (cache.find(key_id, algorithm) is not None) == ((key_id, algorithm) in allowed)
