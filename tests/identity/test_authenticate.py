"""Who is behind a request: one credential, one header, one principal."""

import hashlib
from pathlib import Path

import anyio
import pytest

from agent_gateway.identity.agents import Agent, Agents, ConfigurationConflict, OidcBinding
from agent_gateway.identity.api_keys import ApiKey, new_api_key
from agent_gateway.identity.authenticate import Authenticator, credential_of
from agent_gateway.identity.validator import Issuer, Validator
from gateway_policies.principal import Principal
from gateway_policies.refusal import Unauthenticated
from support.identity_parts import ISSUER, LONG_SECRET, Parts, ask, basic
from support.tokens import StaticKeys, Ticking, ec, signed

RESOURCE = f"{ISSUER}/mcp"
IDP = "https://idp.example"


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"gw.example"), (b"authorization", b"Bearer " + token.encode())]


def own_token(parts: Parts, **form: str) -> str:
    return str(ask(parts.service(), basic("planner", LONG_SECRET), **form).body["access_token"])


def code(door: Authenticator, headers: list[tuple[bytes, bytes]], resource: str = RESOURCE, query: bytes = b"") -> str:
    with pytest.raises(Unauthenticated) as caught:
        door.authenticate(headers, resource, query)
    return caught.value.code


def test_a_token_of_ours_is_its_agent(parts: Parts) -> None:
    found = parts.authenticator().authenticate(bearer(own_token(parts)), RESOURCE)
    assert found == Principal(
        kind="agent",
        id="planner",
        tenant="acme",
        teams=("acme/research",),
        issuer=ISSUER,
        client_id="planner",
        credential="access_token",
        scopes=frozenset({"mcp:list", "mcp:call"}),
        trust=3,
        expires_at=int(parts.clock.now) + 900,
    )


def test_a_token_is_good_at_its_own_endpoint_only_even_when_cached(parts: Parts) -> None:
    door, token = parts.authenticator(), own_token(parts)
    assert door.authenticate(bearer(token), RESOURCE)
    assert code(door, bearer(token), f"{ISSUER}/mcp/reading") == "wrong_audience"
    assert door.authenticate(bearer(token), RESOURCE)


def test_a_cached_token_ends_when_it_expires(parts: Parts) -> None:
    door, token = parts.authenticator(), own_token(parts)
    parts.clock.now += 870
    first = door.authenticate(bearer(token), RESOURCE)
    assert door.authenticate(bearer(token), RESOURCE) is first
    parts.clock.now += 30
    assert code(door, bearer(token)) == "expired_token"


def test_a_cached_token_is_checked_anew_every_minute(parts: Parts) -> None:
    door, token = parts.authenticator(), own_token(parts)
    first = door.authenticate(bearer(token), RESOURCE)
    parts.clock.now += 60
    second = door.authenticate(bearer(token), RESOURCE)
    assert second == first
    assert second is not first


def test_a_new_epoch_forgets_every_token(parts: Parts) -> None:
    door, token = parts.authenticator(), own_token(parts)
    first = door.authenticate(bearer(token), RESOURCE)
    parts.epoch += 1
    assert door.authenticate(bearer(token), RESOURCE) is not first


def test_the_cache_forgets_what_was_used_longest_ago(parts: Parts) -> None:
    keys = ec()
    table = Validator([(Issuer("x", IDP, tenant="t", unbound="user"), StaticKeys({"k1": keys}))], clock=parts.clock)
    small = Authenticator(parts.agents(), table, clock=parts.clock, epoch=lambda: 0, max_cached=2)
    tokens = [external(keys, parts.clock, sub=f"u{n}") for n in range(3)]
    first = [small.authenticate(bearer(token), RESOURCE) for token in tokens]
    assert small.authenticate(bearer(tokens[2]), RESOURCE) is first[2]
    assert small.authenticate(bearer(tokens[0]), RESOURCE) is not first[0]


@pytest.mark.parametrize(
    "change",
    [
        Agent("planner", "acme", generation=1),
        Agent("planner", "other"),
    ],
)
def test_a_raised_generation_or_a_moved_agent_revokes_its_tokens(parts: Parts, change: Agent) -> None:
    token = own_token(parts)
    assert code(parts.authenticator(parts.agents(planner=change)), bearer(token)) == "revoked_token"
    assert code(parts.authenticator(Agents([])), bearer(token)) == "revoked_token"


def test_a_suspended_agent_is_nobody(parts: Parts) -> None:
    suspended = parts.agents(planner=Agent("planner", "acme", is_active=False))
    assert code(parts.authenticator(suspended), bearer(own_token(parts))) == "inactive_agent"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], "missing_token"),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")], "ambiguous_token"),
        ([(b"Authorization", b"Bearer a"), (b"authorization", b"Bearer b")], "ambiguous_token"),
        ([(b"authorization", b"Bearer a"), (b"x-api-key", b"agw_x")], "ambiguous_token"),
        ([(b"authorization", b"")], "invalid_token"),
        ([(b"authorization", b"Bearer")], "invalid_token"),
        ([(b"authorization", b"Bearer ")], "invalid_token"),
        ([(b"authorization", b"Bearer a b")], "invalid_token"),
        ([(b"authorization", b"Bearer a,Bearer b")], "invalid_token"),
        ([(b"authorization", b"Bearer a\x00")], "invalid_token"),
        ([(b"authorization", b"Bearer \xc3\xa9")], "invalid_token"),
        ([(b"authorization", b"Basic YTpi")], "invalid_token"),
        ([(b"authorization", b"DPoP a.b.c")], "invalid_token"),
        ([(b"authorization", b"Bearer " + b"a" * 20_000)], "invalid_token"),
        ([(b"x-api-key", b"a.b.c")], "invalid_token"),
        ([(b"x-api-key", b"")], "invalid_token"),
        ([(b"authorization", b"Bearer agw_")], "invalid_token"),
        ([(b"authorization", b"Bearer agw_aaaaaaaaaaaa_" + b"a" * 43)], "invalid_token"),
    ],
)
def test_each_wrong_way_to_send_a_credential_has_its_code(
    parts: Parts, headers: list[tuple[bytes, bytes]], expected: str
) -> None:
    assert code(parts.authenticator(), headers) == expected


@pytest.mark.parametrize("query", [b"access_token=x", b"a=b&access%5Ftoken=x", b"ACCESS_TOKEN", b"a;api_key=x"])
def test_a_token_in_the_query_is_refused_though_a_good_one_is_in_the_header(parts: Parts, query: bytes) -> None:
    assert code(parts.authenticator(), bearer(own_token(parts)), query=query) == "token_in_query"
    assert parts.authenticator().authenticate(bearer(own_token(parts)), RESOURCE, b"q=access_token")


def test_a_scheme_may_be_in_any_case() -> None:
    assert credential_of([(b"authorization", b"bEARER abc")]) == "abc"


def test_an_api_key_works_in_both_headers_and_only_whole(parts: Parts) -> None:
    key, stored = new_api_key()
    bot = Agent("bot", "acme", trust=1, credentials=(stored,), scopes=frozenset({"mcp:list", "unknown"}))
    door = parts.authenticator(parts.agents(bot=bot))
    found = door.authenticate([(b"x-api-key", key.encode())], RESOURCE)
    assert found == door.authenticate(bearer(key), RESOURCE)
    assert found is not None
    assert (found.id, found.credential, found.issuer, found.scopes) == ("bot", "api_key", "api_key", {"mcp:list"})
    last = "A" if key[-1] != "A" else "B"
    for wrong in (key[:-1] + last, key[:-1], key + "a", key.upper(), key.replace("agw_", "agx_")):
        assert code(door, [(b"x-api-key", wrong.encode())]) == "invalid_token"


def test_an_agent_without_a_list_of_scopes_has_them_all(parts: Parts) -> None:
    key, stored = new_api_key()
    door = parts.authenticator(parts.agents(bot=Agent("bot", "acme", credentials=(stored,))))
    found = door.authenticate(bearer(key), RESOURCE)
    assert found is not None
    assert found.scopes == {"mcp:list", "mcp:call"}


def test_a_stored_key_is_a_digest() -> None:
    key, stored = new_api_key()
    assert stored.sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert key.split("_")[1] == stored.id
    with pytest.raises(ValueError, match="SHA-256"):
        ApiKey("short", stored.sha256)
    with pytest.raises(ValueError, match="SHA-256"):
        ApiKey(stored.id, key)


def external(key: object, clock: Ticking, **claims: object) -> str:
    now = int(clock.now)
    said: dict[str, object] = {"iss": IDP, "sub": "u1", "aud": RESOURCE, "exp": now + 300, "iat": now, **claims}
    return signed({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, said, key, "ES256")  # pyright: ignore[reportArgumentType]


def bound(agent: str, *match: tuple[str, str | int | bool], issuer: str = "corp") -> Agent:
    return Agent(agent, "acme", credentials=(OidcBinding(issuer, match),), trust=2)


def outside_door(issuer: Issuer, keys: StaticKeys, clock: Ticking, *agents: Agent) -> Authenticator:
    return Authenticator(Agents(agents), Validator([(issuer, keys)], clock=clock), clock=clock, epoch=lambda: 0)


def test_a_binding_makes_an_external_token_an_agent() -> None:
    clock, key = Ticking(), ec()
    agents = (bound("ci", ("repo.id", "42"), ("sub", "u1")), bound("cd", ("repo.id", "43")))
    door = outside_door(Issuer("corp", IDP), StaticKeys({"k1": key}), clock, *agents)
    found = door.authenticate(bearer(external(key, clock, repo={"id": "42"}, client_id="c")), RESOURCE)
    assert found is not None
    assert (found.kind, found.id, found.tenant, found.issuer, found.client_id) == ("agent", "ci", "acme", IDP, "c")
    assert (found.credential, found.trust) == ("oidc", 2)


@pytest.mark.parametrize("value", [42, "042", "42 ", ["42"], None, {"id": "42"}, True])
def test_a_binding_matches_exactly_or_not_at_all(value: object) -> None:
    clock, key = Ticking(), ec()
    door = outside_door(Issuer("corp", IDP), StaticKeys({"k1": key}), clock, bound("ci", ("repo", "42")))
    assert code(door, bearer(external(key, clock, repo=value))) == "unknown_principal"


def test_true_and_one_are_two_values() -> None:
    clock, key = Ticking(), ec()
    door = outside_door(Issuer("corp", IDP), StaticKeys({"k1": key}), clock, bound("ci", ("flag", True)))
    assert code(door, bearer(external(key, clock, flag=1))) == "unknown_principal"
    assert door.authenticate(bearer(external(key, clock, flag=True)), RESOURCE)


def test_an_unbound_subject_is_what_its_issuer_allows() -> None:
    clock, key = Ticking(), ec()
    issuer = Issuer("corp", IDP, tenant="acme", unbound="user", teams=frozenset({"ops"}))
    found = outside_door(issuer, StaticKeys({"k1": key}), clock).authenticate(bearer(external(key, clock)), RESOURCE)
    assert found is not None
    assert (found.kind, found.id, found.tenant, found.trust, found.generation) == ("user", "u1", "acme", 0, 0)
    assert found.key == ("acme", IDP, "", "u1")


def test_an_issuer_without_a_tenant_vouches_for_nobody() -> None:
    clock, key = Ticking(), ec()
    door = outside_door(Issuer("corp", IDP, unbound="user"), StaticKeys({"k1": key}), clock)
    assert code(door, bearer(external(key, clock))) == "unknown_principal"


def test_bindings_that_could_both_match_are_a_mistake_in_the_configuration() -> None:
    apart = (bound("a", ("sub", "1"), ("x", "1")), bound("b", ("sub", "2"), ("y", "1")))
    assert Agents(apart).get("a")
    assert Agents((bound("a", ("sub", "1")), bound("b", ("sub", "1"), issuer="other"))).get("b")
    for one, other in [
        (bound("a", ("sub", "1")), bound("b", ("azp", "1"))),
        (bound("a", ("sub", "1")), bound("b", ("sub", "1"), ("azp", "1"))),
    ]:
        with pytest.raises(ConfigurationConflict, match="agent `a` and agent `b`"):
            Agents((one, other))
    with pytest.raises(ConfigurationConflict, match="every token"):
        Agents((bound("a"),))


def test_names_and_keys_are_configured_once() -> None:
    _, stored = new_api_key()
    with pytest.raises(ConfigurationConflict, match="`a`"):
        Agents((Agent("a", "t"), Agent("a", "t")))
    with pytest.raises(ConfigurationConflict, match=stored.id):
        Agents((Agent("a", "t", credentials=(stored,)), Agent("b", "t", credentials=(stored,))))


async def test_a_cold_miss_says_so_and_then_fetches() -> None:
    clock, key = Ticking(), ec()
    keys = StaticKeys(later={"k1": key})
    issuer = Issuer("corp", IDP, tenant="acme", unbound="workload")
    door = outside_door(issuer, keys, clock)
    headers = bearer(external(key, clock))
    assert door.authenticate(headers, RESOURCE) is None
    with anyio.fail_after(5):
        found = await door.authenticate_cold(headers, RESOURCE)
    assert (found.kind, keys.refreshed) == ("workload", 1)
    assert door.authenticate(headers, RESOURCE) is found


async def test_keys_that_never_come_end_in_a_refusal() -> None:
    clock = Ticking()

    class Never(StaticKeys):
        def needs_fetch(self, key_id: str) -> bool:
            return True

    keys = Never()
    door = outside_door(Issuer("corp", IDP), keys, clock)
    with anyio.fail_after(5), pytest.raises(Unauthenticated) as caught:
        await door.authenticate_cold(bearer(external(ec(), clock)), RESOURCE)
    assert (caught.value.code, keys.refreshed) == ("keys_unavailable", 2)


def test_an_api_key_opens_nothing_from_its_last_second_on(parts: Parts) -> None:
    key, stored = new_api_key()
    ends_at = parts.clock.now + 10
    agent = Agent("bot", "acme", credentials=(ApiKey(stored.id, stored.sha256, ends_at),))
    door = Authenticator(Agents([agent]), Validator([], clock=parts.clock), clock=parts.clock, epoch=lambda: 0)
    headers = [(b"x-api-key", key.encode())]
    found = door.authenticate(headers, RESOURCE)
    assert found is not None
    assert found.expires_at == ends_at
    parts.clock.now = ends_at
    assert code(door, headers) == "expired_token"
