"""The token endpoint: right credentials get one kind of token, wrong ones the exact OAuth error."""

from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from agent_gateway.identity import assertions, compact
from agent_gateway.identity.agents import Agent, PrivateKeyJwt
from agent_gateway.identity.assertions import ASSERTION_TYPE
from agent_gateway.identity.replay import FileReplay, MemoryReplay
from agent_gateway.identity.throttle import MAX_FAILURES, WINDOW_S
from agent_gateway.identity.token_service import TokenAnswer, TokenGuards, TokenRequest, TokenService, TokenSettings
from support.identity_parts import ISSUER, LONG_SECRET, SHORT_SECRET, Parts, ask, basic, claims_of
from support.tokens import ec

PLANNER = basic("planner", LONG_SECRET)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


@pytest.fixture
def service(parts: Parts) -> TokenService:
    return parts.service()


def by_assertion(service: TokenService, assertion: str, **form: str) -> TokenAnswer:
    return ask(service, None, client_assertion_type=ASSERTION_TYPE, client_assertion=assertion, **form)


def error(answer: TokenAnswer) -> tuple[int, object]:
    assert ("Cache-Control", "no-store") in answer.headers
    assert "access_token" not in answer.body
    return answer.status, answer.body["error"]


def test_a_token_says_all_that_rfc_9068_asks_and_what_we_need(parts: Parts, service: TokenService) -> None:
    answer = ask(service, PLANNER)
    assert answer.status == 200
    assert ("Cache-Control", "no-store") in answer.headers
    assert {**answer.body, "access_token": ""} == {
        "access_token": "",
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": "mcp:list mcp:call",
    }
    claims, now = claims_of(answer), int(parts.clock.now)
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": "planner",
        "client_id": "planner",
        "aud": f"{ISSUER}/mcp",
        "tenant": "acme",
        "scope": "mcp:list mcp:call",
        "iat": now,
        "exp": now + 900,
        "generation": 0,
    }


def test_anyone_can_check_the_token_with_the_published_keys(service: TokenService) -> None:
    answer = ask(service, PLANNER)
    keys = KeySet.import_key_set(service.jwks())  # pyright: ignore[reportArgumentType]
    token = jwt.decode(str(answer.body["access_token"]), keys, algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt"


def test_every_token_has_an_id_of_its_own(service: TokenService) -> None:
    assert claims_of(ask(service, PLANNER))["jti"] != claims_of(ask(service, PLANNER))["jti"]


def test_a_secret_may_come_in_the_form_and_in_either_encoding_of_basic(service: TokenService) -> None:
    answers = [
        ask(service, client_id="slow", client_secret=SHORT_SECRET),
        ask(service, basic("slow", SHORT_SECRET)),
        ask(service, basic("slow", SHORT_SECRET, is_encoded=False)),
        ask(service, basic("slow", SHORT_SECRET), client_id="slow"),
    ]
    assert [answer.status for answer in answers] == [200] * 4
    assert {answer.body["scope"] for answer in answers} == {"mcp:list"}


@pytest.mark.parametrize(
    "authorization",
    [
        basic("planner", LONG_SECRET + "x"),
        basic("planner", ""),
        basic("nobody", LONG_SECRET),
        basic("", ""),
        basic("x" * 256, LONG_SECRET),
        basic("retired", LONG_SECRET),
        basic("signer", LONG_SECRET),
        "Basic !!!",
        "Basic cGxhbm5lcg==",
        "Basic /w==",
        "Bearer abc",
        "",
    ],
)
def test_a_wrong_client_gets_one_error_with_a_challenge(service: TokenService, authorization: str) -> None:
    answer = ask(service, authorization)
    assert error(answer) == (401, "invalid_client")
    assert dict(answer.headers)["WWW-Authenticate"].startswith("Basic realm=")
    assert LONG_SECRET not in str(answer.body)


def test_an_unknown_a_retired_and_a_mistaken_client_are_told_the_same(service: TokenService) -> None:
    bodies = [ask(service, basic(one, "w" * 16)).body for one in ("nobody", "retired", "planner", "signer")]
    assert all(body == bodies[0] for body in bodies)


@pytest.mark.parametrize(
    ("authorization", "form", "expected"),
    [
        (None, {}, (401, "invalid_client")),
        (None, {"client_id": "planner"}, (401, "invalid_client")),
        (PLANNER, {"grant_type": ""}, (400, "invalid_request")),
        (PLANNER, {"grant_type": "password"}, (400, "unsupported_grant_type")),
        (PLANNER, {"grant_type": "authorization_code"}, (400, "unsupported_grant_type")),
        (PLANNER, {"client_secret": LONG_SECRET}, (400, "invalid_request")),
        (PLANNER, {"client_assertion": "x"}, (400, "invalid_request")),
        (PLANNER, {"client_id": "other"}, (400, "invalid_request")),
        (PLANNER, {"scope": "admin"}, (400, "invalid_scope")),
        (PLANNER, {"scope": "mcp:list  mcp:call"}, (400, "invalid_scope")),
        (basic("slow", SHORT_SECRET), {"scope": "mcp:call"}, (400, "invalid_scope")),
        (PLANNER, {"resource": "https://other.example/mcp"}, (400, "invalid_target")),
        (PLANNER, {"resource": f"{ISSUER}/mcp/"}, (400, "invalid_target")),
        (PLANNER, {"resource": ""}, (400, "invalid_target")),
        (None, {"client_assertion": "x"}, (400, "invalid_request")),
        (None, {"client_assertion": "x", "client_assertion_type": "saml"}, (400, "invalid_request")),
        (None, {"client_assertion": "x", "client_assertion_type": ASSERTION_TYPE}, (401, "invalid_client")),
    ],
)
def test_each_mistake_has_its_error(
    service: TokenService, authorization: str | None, form: dict[str, str], expected: tuple[int, str]
) -> None:
    assert error(ask(service, authorization, **form)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("scope", "invalid_request"), ("grant_type", "invalid_request"), ("resource", "invalid_target")],
)
def test_a_parameter_counts_once(service: TokenService, name: str, expected: str) -> None:
    form = (("grant_type", "client_credentials"), (name, "a"), (name, "a"))
    assert error(service.token(TokenRequest(form, PLANNER))) == (400, expected)


def test_a_resource_and_scopes_narrow_the_token(service: TokenService) -> None:
    claims = claims_of(ask(service, PLANNER, resource=f"{ISSUER}/mcp/reading", scope="mcp:call"))
    assert (claims["aud"], claims["scope"]) == (f"{ISSUER}/mcp/reading", "mcp:call")


def test_a_signed_assertion_is_a_credential_once(parts: Parts, service: TokenService) -> None:
    assertion = parts.assertion()
    answer = by_assertion(service, assertion, client_id="signer")
    assert (answer.status, claims_of(answer)["sub"], claims_of(answer)["generation"]) == (200, "signer", 4)
    assert error(by_assertion(service, assertion)) == (401, "invalid_client")
    assert by_assertion(service, parts.assertion(jti="j2", aud=[f"{ISSUER}/oauth/token"])).status == 200


WRONG_ASSERTIONS: dict[str, dict[str, object]] = {
    "another issuer": {"iss": "planner"},
    "another subject": {"sub": "planner"},
    "an agent without keys": {"iss": "planner", "sub": "planner"},
    "an unknown client": {"iss": "nobody", "sub": "nobody"},
    "no audience": {"aud": None},
    "another audience": {"aud": "https://other.example"},
    "two audiences": {"aud": [ISSUER, "https://other.example"]},
    "an audience with a slash": {"aud": ISSUER + "/"},
    "no id": {"jti": None},
    "an empty id": {"jti": ""},
    "a long id": {"jti": "x" * 257},
    "an id that is a number": {"jti": 1},
    "no expiry": {"exp": None},
    "no time as expiry": {"exp": "soon"},
    "an expiry in the past": {"exp": 1_799_999_999},
    "an expiry too far away": {"exp": 1_800_000_000 + 361},
    "issued in the future": {"iat": 1_800_000_061},
    "not valid yet": {"nbf": 1_800_000_061},
}


@pytest.mark.parametrize("name", WRONG_ASSERTIONS)
def test_an_assertion_wrong_in_one_way_is_refused_and_costs_no_id(parts: Parts, name: str) -> None:
    service = parts.service()
    assert error(by_assertion(service, parts.assertion(None, None, **WRONG_ASSERTIONS[name]))) == (
        401,
        "invalid_client",
    )
    assert by_assertion(service, parts.assertion()).status == 200


def test_an_assertion_counts_only_when_signed_with_an_algorithm_of_its_agent(parts: Parts) -> None:
    for algorithms, is_proof in ((frozenset({"RS256", "ES384"}), False), (frozenset({"ES256"}), True)):
        agent = Agent("signer", "beta", credentials=(PrivateKeyJwt((parts.client_key,), algorithms),))
        now, used = parts.clock(), MemoryReplay(clock=parts.clock)
        read = compact.read(parts.assertion())
        assert assertions.is_proof(read, agent, frozenset({ISSUER}), now, used) is is_proof


def test_an_assertion_by_another_key_or_of_another_kind_is_refused(parts: Parts, service: TokenService) -> None:
    forged = parts.assertion(ec("client-key"))
    wrong_kid = parts.assertion(header={"kid": "unknown"})
    access_token = parts.assertion(header={"typ": "at+jwt"})
    for assertion in (forged, wrong_kid, access_token, "a.b.c", "x" * 20_000):
        assert error(by_assertion(service, assertion)) == (401, "invalid_client")
    assert error(by_assertion(service, parts.assertion(), client_id="planner")) == (401, "invalid_client")


def test_an_assertion_needs_no_key_id(parts: Parts, service: TokenService) -> None:
    assert by_assertion(service, parts.assertion(header={"kid": ""})).status == 200


def test_an_id_used_at_one_worker_is_used_at_all_of_them(parts: Parts, tmp_path: Path) -> None:
    stores = [FileReplay(tmp_path, clock=parts.clock) for _ in range(2)]
    answers: list[TokenAnswer] = []
    for store in stores:
        parts.guards = TokenGuards(store, parts.guards.throttle)
        answers.append(by_assertion(parts.service(), parts.assertion()))
    assert [answer.status for answer in answers] == [200, 401]
    for store in stores:
        store.close()


def test_guessing_at_a_short_secret_is_rationed(parts: Parts, service: TokenService) -> None:
    for _ in range(MAX_FAILURES):
        assert error(ask(service, client_id="slow", client_secret="guess" * 4)) == (401, "invalid_client")
    answer = ask(service, client_id="slow", client_secret=SHORT_SECRET)
    assert error(answer) == (429, "invalid_client")
    assert dict(answer.headers)["Retry-After"] == "61"
    parts.clock.now += WINDOW_S
    assert ask(service, client_id="slow", client_secret=SHORT_SECRET).status == 200


def test_a_stranger_cannot_lock_out_a_client_with_a_long_secret(service: TokenService) -> None:
    for _ in range(MAX_FAILURES):
        ask(service, client_id="planner", client_secret="guess" * 4)
    assert error(ask(service, client_id="planner", client_secret="guess" * 4)) == (429, "invalid_client")
    assert ask(service, PLANNER).status == 200


def test_unknown_clients_are_rationed_alike(service: TokenService) -> None:
    for _ in range(MAX_FAILURES):
        ask(service, client_id="nobody", client_secret="guess" * 4)
    assert error(ask(service, client_id="nobody", client_secret="guess" * 4)) == (429, "invalid_client")


@pytest.mark.parametrize("life_s", [0, -1, 3601])
def test_a_token_cannot_be_made_to_live_longer_than_an_hour(life_s: int) -> None:
    with pytest.raises(ValueError, match="3600"):
        TokenSettings(ISSUER, life_s)


def test_an_operator_mints_within_the_same_limit(parts: Parts, service: TokenService) -> None:
    agent = parts.agents().get("planner")
    assert agent is not None
    token = service.mint(agent, f"{ISSUER}/mcp", ["mcp:call"], life_s=99_999)
    claims = claims_of(TokenAnswer(200, {"access_token": token}))
    assert claims["exp"] == int(parts.clock.now) + 3600
