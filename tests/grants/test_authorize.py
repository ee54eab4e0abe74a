"""The authorization code flow: what is sent, what is taken back, and from whom."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
import httpx2
import pytest

from agent_gateway.grants.authorize import Begun, begin, code_of
from agent_gateway.grants.client import Client, prove
from agent_gateway.grants.discovery import AuthServer
from agent_gateway.grants.redirect import redirect_listener
from agent_gateway.grants.store import Grant, GrantStore
from agent_gateway.grants.tokens import Asking, Tokens
from gateway_policies.refusal import Unavailable, UpstreamFailed

ISSUER = "https://as.test"
SERVER = AuthServer(ISSUER, f"{ISSUER}/token", f"{ISSUER}/authorize?kept=1", challenges=("S256",), proves_issuer=True)
BACK = "http://127.0.0.1:1/callback"


def begun(server: AuthServer = SERVER) -> Begun:
    return begin(Asking(server, Client("gw"), "https://up.test/mcp", ("a", "b")), BACK)


def test_the_request_names_the_resource_and_keeps_what_the_endpoint_s_url_says() -> None:
    one = begun()
    query = parse_qs(urlsplit(one.url).query)
    assert query.pop("code_challenge") != [one.verifier]
    assert query == {
        "kept": ["1"],
        "response_type": ["code"],
        "client_id": ["gw"],
        "redirect_uri": [BACK],
        "scope": ["a b"],
        "state": [one.state],
        "code_challenge_method": ["S256"],
        "resource": ["https://up.test/mcp"],
    }
    assert one.state not in repr(one)
    assert begun().state != one.state


@pytest.mark.parametrize("challenges", [(), ("plain",)])
def test_a_server_without_pkce_is_refused(challenges: tuple[str, ...]) -> None:
    with pytest.raises(UpstreamFailed, match="PKCE"):
        begun(replace(SERVER, challenges=challenges))


@pytest.mark.requirement("upstream.discovered-issuer")
@pytest.mark.parametrize(
    ("told", "proves", "is_taken"),
    [
        ({"code": "c", "iss": ISSUER}, True, True),
        ({"code": "c", "iss": ISSUER}, False, True),
        ({"code": "c"}, False, True),
        ({"code": "c"}, True, False),
        ({"code": "c", "iss": f"{ISSUER}/"}, False, False),
        ({"code": "c", "iss": "https://evil.test"}, False, False),
        ({"code": "c", "iss": ""}, False, False),
        ({"code": "c", "iss": ISSUER, "state": "other"}, True, False),
        ({"code": "", "iss": ISSUER}, True, False),
        ({"error": "access_denied", "iss": ISSUER}, True, False),
        ({"error": "access_denied"}, True, False),
    ],
)
def test_a_redirect_is_taken_from_the_server_that_was_asked(told: dict[str, str], proves: bool, is_taken: bool) -> None:
    one = begun(replace(SERVER, proves_issuer=proves))
    query = urlencode({"state": one.state} | told)
    if is_taken:
        assert code_of(one, query) == "c"
    else:
        with pytest.raises(UpstreamFailed):
            code_of(one, query)


def test_what_a_redirect_says_twice_is_not_taken_and_strange_errors_are_not_repeated() -> None:
    one = begun()
    with pytest.raises(UpstreamFailed, match="twice"):
        code_of(one, f"code=a&code=b&state={one.state}&iss={ISSUER}")
    with pytest.raises(UpstreamFailed, match="not given: refused"):
        code_of(one, f"error=<script>&state={one.state}&iss={ISSUER}")


@pytest.mark.parametrize(
    ("client", "methods", "expected"),
    [
        (Client("a b", "s:/"), (), (("authorization", "Basic YStiOnMlM0ElMkY="),)),
        (Client("id", "s3cret"), ("client_secret_post",), {"client_id": "id", "client_secret": "s3cret"}),
        (
            Client("id", "s3cret", method="client_secret_post"),
            ("client_secret_basic",),
            {"client_id": "id", "client_secret": "s3cret"},
        ),
        (Client("id", "s3cret"), ("none",), {"client_id": "id"}),
        (Client("id"), ("client_secret_basic",), {"client_id": "id"}),
    ],
)
def test_a_client_proves_itself_as_the_server_takes_it(
    client: Client, methods: tuple[str, ...], expected: object
) -> None:
    proof = prove(client, replace(SERVER, auth_methods=methods), 0.0)
    assert expected in (proof.headers, proof.fields)
    assert client.secret == "" or client.secret not in repr((client, proof))


def test_a_secret_is_not_sent_to_a_server_that_takes_none() -> None:
    with pytest.raises(UpstreamFailed, match="takes no client secret"):
        prove(Client("id", "s"), replace(SERVER, auth_methods=("tls_client_auth",)), 0.0)


async def test_the_listener_takes_one_redirect_and_nothing_else() -> None:
    with anyio.fail_after(30):
        async with redirect_listener(0) as redirect, httpx2.AsyncClient() as browser:
            assert redirect.uri.startswith("http://127.0.0.1:")
            assert (await browser.get(redirect.uri.replace("callback", "favicon.ico"))).status_code == 404
            assert (await browser.post(f"{redirect.uri}?code=no")).status_code == 404
            assert (await browser.get(f"{redirect.uri}?code=1&state=x")).status_code == 200
            assert (await browser.get(f"{redirect.uri}?code=2")).status_code == 200
            assert await redirect.query() == "code=1&state=x"


@pytest.mark.requirement("upstream.login")
def test_a_grant_is_private_and_one_that_others_can_read_is_not_believed(tmp_path: Path) -> None:
    store = GrantStore(tmp_path / "grants")
    grant = Grant(ISSUER, "r", Client("id", "client-secret"), Tokens("access", 1.0, "refresh", ("a",)), ("b",))
    assert store.read("up") is None
    with store.locked("up"):
        store.write("up", grant)
    assert store.read("up") == grant
    assert not any(one in repr(grant) for one in ("client-secret", "access'", "refresh'"))
    (tmp_path / "grants" / "up.json").chmod(0o644)
    with pytest.raises(Unavailable, match="0600"):
        store.read("up")
    (tmp_path / "grants" / "up.json").chmod(0o600)
    (tmp_path / "grants" / "up.json").write_text("{")
    with pytest.raises(Unavailable):
        store.read("up")
    assert store.forget("up")
    assert not store.forget("up")
