"""What upstreams are sent: the gateway's own credential, to their own origin, and nothing of the caller's."""

import base64
import json
from urllib.parse import parse_qs

import anyio
import pytest
from support.tokens import Ticking

from agent_gateway.identity.broker import (
    Broker,
    ClientCredentials,
    StaticHeader,
    TokenResponse,
    UpstreamCredential,
    origin_of,
)
from gateway_policies.principal import Principal
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable

ANA = Principal(kind="agent", id="ana", tenant="acme")
ORIGIN = "https://wiki.example"
OAUTH = ClientCredentials("https://as.example/token", "gw:1", "s&cret", scope="read", resource=ORIGIN + "/mcp")


class TokenEndpoint:
    """Answers with numbered tokens; can fail and can be held up."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.answer: dict[str, object] = {"token_type": "Bearer", "expires_in": 600}
        self.gate: anyio.Event | None = None
        self.is_down = False

    async def post_form(
        self, url: str, headers: tuple[tuple[str, str], ...], form: bytes, max_bytes: int
    ) -> TokenResponse:
        self.asked.append((url, dict(headers), form))
        if self.gate is not None:
            await self.gate.wait()
        if self.is_down:
            raise UpstreamFailed("down")
        body = {"access_token": f"t{len(self.asked)}", **self.answer}
        return TokenResponse(self.status, json.dumps(body).encode())


def broker(endpoint: TokenEndpoint, clock: Ticking) -> Broker:
    upstreams = {
        "open": UpstreamCredential(ORIGIN),
        "static": UpstreamCredential(ORIGIN, StaticHeader("X-Api-Key", "v4lue")),
        "oauth": UpstreamCredential(ORIGIN, OAUTH),
    }
    return Broker(upstreams, post_form=endpoint.post_form, clock=clock)


async def token(door: Broker) -> bytes:
    [(name, value)] = await door.headers(ANA, "oauth")
    assert name == b"authorization"
    return value


async def refused(door: Broker, name: str = "oauth", url: str = "") -> str:
    with pytest.raises(UpstreamUnreachable) as caught:
        await door.headers(ANA, name, url)
    assert "s&cret" not in str(caught.value.message)
    return caught.value.code


async def test_an_upstream_gets_nothing_or_its_static_header() -> None:
    door = broker(TokenEndpoint(), Ticking())
    assert await door.headers(ANA, "open") == []
    assert await door.headers(ANA, "static", ORIGIN + "/mcp") == [(b"x-api-key", b"v4lue")]


async def test_a_token_is_asked_for_as_the_specifications_say() -> None:
    endpoint = TokenEndpoint()
    assert await token(broker(endpoint, Ticking())) == b"Bearer t1"
    [(url, headers, form)] = endpoint.asked
    assert url == OAUTH.token_url
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"gw%3A1:s%26cret"
    assert parse_qs(form.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["read"],
        "resource": [ORIGIN + "/mcp"],
    }


async def test_callers_at_once_share_one_token_request() -> None:
    endpoint = TokenEndpoint()
    endpoint.gate = anyio.Event()
    door, got = broker(endpoint, Ticking()), list[bytes]()

    async def one() -> None:
        got.append(await token(door))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(one)
            await anyio.lowlevel.checkpoint()
            endpoint.gate.set()
    assert got == [b"Bearer t1"] * 10
    assert len(endpoint.asked) == 1


async def test_a_token_is_renewed_before_its_end_while_the_old_one_serves() -> None:
    endpoint, clock = TokenEndpoint(), Ticking()
    door = broker(endpoint, clock)
    await token(door)
    clock.now += 539
    assert await token(door) == b"Bearer t1"
    clock.now += 1
    endpoint.gate = anyio.Event()
    assert await token(door) == b"Bearer t1"
    endpoint.gate.set()
    with anyio.fail_after(5):
        while await token(door) == b"Bearer t1":
            await anyio.lowlevel.checkpoint()
    assert len(endpoint.asked) == 2


async def test_an_endpoint_that_is_down_is_asked_at_most_every_few_seconds() -> None:
    endpoint, clock = TokenEndpoint(), Ticking()
    endpoint.is_down = True
    door = broker(endpoint, clock)
    assert [await refused(door), await refused(door)] == ["credential_unavailable"] * 2
    assert len(endpoint.asked) == 1
    clock.now += 5
    endpoint.is_down = False
    assert await token(door) == b"Bearer t2"


async def test_a_refused_token_is_forgotten_but_not_in_a_storm() -> None:
    endpoint, clock = TokenEndpoint(), Ticking()
    door = broker(endpoint, clock)
    await token(door)
    door.forget("oauth")
    door.forget("static")
    assert await token(door) == b"Bearer t1"
    clock.now += 5
    door.forget("oauth")
    assert await token(door) == b"Bearer t2"


@pytest.mark.parametrize(
    "answer",
    [
        {"access_token": ""},
        {"access_token": "a b"},
        {"access_token": "a\r\nx: y"},
        {"access_token": 1},
        {"token_type": "DPoP"},
        {"expires_in": "600"},
        {"expires_in": -1},
        {"expires_in": 0},
    ],
)
async def test_an_answer_without_a_usable_token_is_none(answer: dict[str, object]) -> None:
    endpoint = TokenEndpoint()
    endpoint.answer = {**endpoint.answer, **answer}
    assert await refused(broker(endpoint, Ticking())) == "credential_unavailable"


async def test_an_error_status_is_no_token_whatever_the_body_says() -> None:
    endpoint = TokenEndpoint()
    endpoint.status = 400
    assert await refused(broker(endpoint, Ticking())) == "credential_unavailable"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/mcp",
        "http://wiki.example/mcp",
        "https://wiki.example:8443/mcp",
        "https://wiki.example@evil.example/",
        "https://u@wiki.example/",
        "https://evil.example\\@wiki.example/",
        "https://wiki.example:99999/",
        "/mcp",
    ],
)
async def test_a_credential_goes_to_its_own_origin_only(url: str) -> None:
    assert await refused(broker(TokenEndpoint(), Ticking()), "static", url) == "credential_origin"


async def test_an_unknown_upstream_has_none() -> None:
    assert await refused(broker(TokenEndpoint(), Ticking()), "nobody") == "unknown_upstream"


def test_an_origin_has_its_default_port() -> None:
    assert origin_of("https://A.example/x") == ("https", "a.example", 443)
    assert origin_of("http://a.example") == ("http", "a.example", 80)


@pytest.mark.parametrize(("name", "value"), [("a b", "v"), ("a\r\n", "v"), ("", "v"), ("a", ""), ("a", "v\r\nb: c")])
def test_a_static_header_is_one_header(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="one header"):
        StaticHeader(name, value)


def test_secrets_do_not_show() -> None:
    assert "v4lue" not in repr(StaticHeader("a", "v4lue"))
    assert "s&cret" not in repr(UpstreamCredential(ORIGIN, OAUTH))
