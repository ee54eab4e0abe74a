"""Wrong tokens of every kind; each differs from a right one in a single way."""

import hmac
import json
from collections.abc import Callable
from typing import cast

import pytest
from joserfc.jwk import OKPKey
from support.tokens import StaticKeys, Ticking, ec, rsa, segment, signed

from agent_gateway.identity.validator import ClaimMap, Issuer, KeysNeeded, Validator, own_issuer
from gateway_policies.refusal import Unauthenticated

RESOURCE = "https://gw.example/mcp"
ISS = "https://idp.example"
KEY, OTHER = ec(), ec("k2")
RSA = rsa("r1")
CLOCK = Ticking()
NOW = int(CLOCK.now)
HEADER: dict[str, object] = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
CLAIMS: dict[str, object] = {"iss": ISS, "sub": "u1", "aud": RESOURCE, "exp": NOW + 300, "iat": NOW}
ISSUER = Issuer(name="corp", issuer=ISS, tenant="acme")


def validator(issuer: Issuer = ISSUER) -> Validator:
    return Validator([(issuer, StaticKeys({"k1": KEY, "r1": RSA}))], clock=CLOCK)


def token(header: dict[str, object] | None = None, claims: dict[str, object] | None = None) -> str:
    return signed({**HEADER, **(header or {})}, {**CLAIMS, **(claims or {})}, KEY, "ES256")


def without(values: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in values.items() if key != name}


def code(text: str, issuer: Issuer = ISSUER, resource: str = RESOURCE) -> str:
    with pytest.raises(Unauthenticated) as caught:
        validator(issuer).validate(text, resource)
    return caught.value.code


def test_a_right_token_says_who_it_is_of() -> None:
    found = validator().validate(token(claims={"scope": "a b", "client_id": "c1"}), RESOURCE)
    assert (found.subject, found.client_id, found.scopes) == ("u1", "c1", {"a", "b"})
    assert found.expires_at == NOW + 300
    assert found.teams == ()


def hmac_with_public_key() -> str:
    head = segment(json.dumps({**HEADER, "alg": "HS256"}).encode())
    signing_input = f"{head}.{segment(json.dumps(CLAIMS).encode())}"
    digest = hmac.digest(KEY.as_pem(private=False), signing_input.encode(), "sha256")
    return f"{signing_input}.{segment(digest)}"


def unsigned() -> str:
    header = segment(json.dumps({**HEADER, "alg": "none"}).encode())
    return f"{header}.{segment(json.dumps(CLAIMS).encode())}."


def with_its_own_key(name: str) -> str:
    thief = ec("thief")
    value: object = thief.as_dict(private=False) if name == "jwk" else "https://thief.example/keys"
    return signed({**HEADER, "kid": "k1", name: value}, CLAIMS, thief, "ES256")


def claims_bytes(text: str) -> str:
    return signed(HEADER, text.encode(), KEY, "ES256")


FULL = f'"iss":"{ISS}","sub":"u1","aud":"{RESOURCE}","iat":{NOW}'
FORGERIES: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "two segments": lambda: "a.b",
    "five segments": lambda: "a.b.c.d.e",
    "padding": lambda: token() + "=",
    "a newline behind": lambda: token() + "\n",
    "one character of base64": lambda: "a.b.c",
    "larger than the limit": lambda: token(claims={"pad": "x" * 13_000}),
    "algorithm none": unsigned,
    "algorithm None in capitals": lambda: unsigned().replace("none", "NONE"),
    "HS256 with the public key as secret": hmac_with_public_key,
    "no algorithm": lambda: signed(without(HEADER, "alg"), CLAIMS, KEY, "ES256"),
    "an algorithm that the issuer is not trusted for": lambda: signed(
        {**HEADER, "alg": "PS256", "kid": "r1"}, CLAIMS, RSA, "PS256"
    ),
    "an RSA key under an ES256 name": lambda: signed({**HEADER, "kid": "r1"}, CLAIMS, RSA, "RS256"),
    "no key id": lambda: signed(without(HEADER, "kid"), CLAIMS, KEY, "ES256"),
    "a key id that is a number": lambda: token({"kid": 1}),
    "another key's signature": lambda: signed(HEADER, CLAIMS, OTHER, "ES256"),
    "its own key in the header": lambda: with_its_own_key("jwk"),
    "a link to its own key": lambda: with_its_own_key("jku"),
    "a link to its own certificate": lambda: with_its_own_key("x5u"),
    "a changed claim": lambda: ".".join(
        (token().split(".")[0], segment(json.dumps({**CLAIMS, "sub": "root"}).encode()), token().split(".")[2])
    ),
    "no signature bytes": lambda: ".".join((*token().split(".")[:2], "AA")),
    "crit": lambda: token({"crit": ["exp"], "exp": 1}),
    "an empty crit": lambda: token({"crit": []}),
    "crit with b64": lambda: token({"crit": ["b64"], "b64": True}),
    "b64": lambda: token({"b64": False}),
    "typ of an ID token": lambda: token({"typ": "JWT"}),
    "no typ": lambda: signed(without(HEADER, "typ"), CLAIMS, KEY, "ES256"),
    "typ of an ID-JAG": lambda: token({"typ": "oauth-id-jag+jwt"}),
    "typ of a logout token": lambda: token({"typ": "logout+jwt"}),
    "typ that is a list": lambda: token({"typ": ["at+jwt"]}),
    "duplicate claims": lambda: claims_bytes(f'{{{FULL},"exp":{NOW + 300},"sub":"root"}}'),
    "duplicate names deep inside": lambda: claims_bytes(f'{{{FULL},"exp":{NOW + 300},"x":{{"a":1,"a":2}}}}'),
    "claims that are a list": lambda: claims_bytes("[]"),
    "claims in bad UTF-8": lambda: signed(HEADER, b'{"iss":"\xff"}', KEY, "ES256"),
    "half a surrogate pair": lambda: claims_bytes(f'{{{FULL},"exp":{NOW + 300},"x":"\\ud800"}}'),
    "claims nested too deeply": lambda: claims_bytes(f'{{{FULL},"exp":{NOW + 300},"x":{"[" * 50}{"]" * 50}}}'),
    "claims nested beyond recursion": lambda: claims_bytes(f'{{"x":{"[" * 6000}'),
    "no expiry": lambda: signed(HEADER, without(CLAIMS, "exp"), KEY, "ES256"),
    "expiry null": lambda: token(claims={"exp": None}),
    "expiry as text": lambda: token(claims={"exp": str(NOW + 300)}),
    "expiry as a boolean": lambda: token(claims={"exp": True}),
    "expiry NaN": lambda: claims_bytes(f'{{{FULL},"exp":NaN}}'),
    "expiry Infinity": lambda: claims_bytes(f'{{{FULL},"exp":Infinity}}'),
    "expiry 1e999": lambda: claims_bytes(f'{{{FULL},"exp":1e999}}'),
    "expiry beyond all calendars": lambda: token(claims={"exp": 10**30}),
    "a life longer than trusted": lambda: token(claims={"exp": NOW + 86401}),
    "a long life that began long ago": lambda: token(claims={"iat": NOW - 86400, "exp": NOW + 300}),
    "not valid yet": lambda: token(claims={"nbf": NOW + 61}),
    "issued in the future": lambda: token(claims={"iat": NOW + 61}),
    "nbf as text": lambda: token(claims={"nbf": "0"}),
    "no subject": lambda: signed(HEADER, without(CLAIMS, "sub"), KEY, "ES256"),
    "subject as a number": lambda: token(claims={"sub": 7}),
    "subject empty": lambda: token(claims={"sub": ""}),
    "subject with a newline": lambda: token(claims={"sub": "a\nb"}),
    "subject of many characters": lambda: token(claims={"sub": "x" * 256}),
    "client as a list": lambda: token(claims={"client_id": ["a"]}),
    "scopes as numbers": lambda: token(claims={"scope": [1]}),
    "too many scopes": lambda: token(claims={"scope": " ".join(f"s{n}" for n in range(300))}),
    "audience as a number": lambda: token(claims={"aud": 1}),
    "audience list with a number": lambda: token(claims={"aud": [RESOURCE, 1]}),
    "too many audiences": lambda: token(claims={"aud": [RESOURCE] * 17}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_token_wrong_in_one_way_is_invalid(name: str) -> None:
    assert code(FORGERIES[name]()) == "invalid_token"


@pytest.mark.parametrize(
    "iss", ["https://idp.example/", "https://IDP.example", "https://idp.example.evil", "", 1, None]
)
def test_an_issuer_is_compared_exactly(iss: object) -> None:
    assert code(token(claims={"iss": iss})) == "unknown_issuer"


@pytest.mark.parametrize(
    "aud",
    [
        None,
        [],
        "https://gw.example/mcp/",
        "https://gw.example",
        "https://gw.example/mcp/reading",
        "HTTPS://gw.example/mcp",
        ["https://other.example"],
        [RESOURCE, "https://other.example"],
    ],
)
def test_a_token_for_anybody_else_has_the_wrong_audience(aud: object) -> None:
    assert code(token(claims={"aud": aud})) == "wrong_audience"


def test_an_expired_token_says_so_and_gets_no_grace() -> None:
    assert code(token(claims={"exp": NOW})) == "expired_token"
    assert validator().validate(token(claims={"exp": NOW + 1}), RESOURCE).subject == "u1"


def test_clocks_may_be_a_minute_apart() -> None:
    early = token(claims={"nbf": NOW + 60, "iat": NOW + 60})
    assert validator().validate(early, RESOURCE).subject == "u1"


def test_the_times_may_be_fractions_and_iat_may_be_absent() -> None:
    claims = without({**CLAIMS, "exp": NOW + 0.5}, "iat")
    assert validator().validate(signed(HEADER, claims, KEY, "ES256"), RESOURCE).expires_at == NOW + 0.5


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_type_has_two_spellings_in_any_case(typ: str) -> None:
    assert validator().validate(token({"typ": typ}), RESOURCE).subject == "u1"


@pytest.mark.parametrize("header", [{**HEADER, "typ": "JWT"}, without(HEADER, "typ"), HEADER])
def test_a_legacy_issuer_may_leave_the_type_out(header: dict[str, object]) -> None:
    legacy = Issuer(name="old", issuer=ISS, is_legacy_typ=True)
    assert validator(legacy).validate(signed(header, CLAIMS, KEY, "ES256"), RESOURCE).subject == "u1"


@pytest.mark.parametrize("typ", ["logout+jwt", "oauth-id-jag+jwt", "dpop+jwt", 1])
def test_a_legacy_issuer_may_not_pass_other_kinds_of_token(typ: object) -> None:
    assert code(token({"typ": typ}), Issuer(name="old", issuer=ISS, is_legacy_typ=True)) == "invalid_token"


def test_configured_audiences_replace_the_resource() -> None:
    issuer = Issuer(name="entra", issuer=ISS, audiences=frozenset({"api://gw"}))
    assert validator(issuer).validate(token(claims={"aud": ["api://gw"]}), RESOURCE).subject == "u1"
    assert code(token(), issuer) == "wrong_audience"


def test_an_operator_may_accept_tokens_that_name_others_too() -> None:
    issuer = Issuer(name="shared", issuer=ISS, may_name_others=True)
    both = token(claims={"aud": [RESOURCE, "account"]})
    assert validator(issuer).validate(both, RESOURCE).subject == "u1"
    assert code(token(claims={"aud": ["account"]}), issuer) == "wrong_audience"


def test_claims_are_read_where_the_issuer_puts_them() -> None:
    names = ClaimMap(subject="oid", client="azp", scopes="scp", teams="realm_access.roles")
    issuer = Issuer(name="x", issuer=ISS, claims=names, teams=frozenset({"research", "ops"}))
    claims: dict[str, object] = {
        "oid": "o1",
        "azp": "c1",
        "scp": ["r", "w"],
        "realm_access": {"roles": ["research", "other/ops", "unknown"]},
    }
    found = validator(issuer).validate(token(claims=claims), RESOURCE)
    assert (found.subject, found.client_id, found.scopes, found.teams) == ("o1", "c1", {"r", "w"}, ("research",))


def test_a_claim_that_is_mapped_to_nothing_is_not_read() -> None:
    issuer = Issuer(name="x", issuer=ISS, claims=ClaimMap(client="", scopes=""))
    found = validator(issuer).validate(token(claims={"client_id": "c", "scope": "s"}), RESOURCE)
    assert (found.client_id, found.scopes) == ("", frozenset())


def test_a_path_that_leads_through_a_text_leads_nowhere() -> None:
    issuer = Issuer(name="x", issuer=ISS, claims=ClaimMap(teams="sub.roles"))
    assert validator(issuer).validate(token(), RESOURCE).teams == ()


def test_an_unknown_key_asks_for_a_fetch_and_then_is_refused() -> None:
    keys = StaticKeys({"k1": KEY})
    table = Validator([(ISSUER, keys)], clock=CLOCK)
    with pytest.raises(KeysNeeded) as needed:
        table.validate(signed({**HEADER, "kid": "new"}, CLAIMS, KEY, "ES256"), RESOURCE)
    assert cast("object", needed.value.source) is keys
    keys.refreshed = 1
    with pytest.raises(Unauthenticated) as caught:
        table.validate(signed({**HEADER, "kid": "new"}, CLAIMS, KEY, "ES256"), RESOURCE)
    assert (caught.value.code, caught.value.retry_after_s) == ("keys_unavailable", 30)


def test_two_issuers_with_one_name_for_themselves_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="`b`"):
        Validator([(ISSUER, StaticKeys()), (Issuer(name="b", issuer=ISS), StaticKeys())], clock=CLOCK)


@pytest.mark.parametrize("algorithms", [{"HS256"}, {"none"}, {"ES256", "HS512"}, {"ES256K"}, set[str]()])
def test_symmetric_and_unknown_algorithms_cannot_be_configured(algorithms: set[str]) -> None:
    with pytest.raises(ValueError, match="`x`"):
        Issuer(name="x", issuer=ISS, algorithms=frozenset(algorithms))


def test_our_own_tokens_live_an_hour_at_most() -> None:
    own = own_issuer(ISS)
    assert code(token(claims={"exp": NOW + 3601}), own) == "invalid_token"
    assert validator(own).validate(token(claims={"exp": NOW + 3600}), RESOURCE).issuer.is_own


def test_rsa_and_edwards_signatures_hold_too() -> None:
    assert validator().validate(signed({**HEADER, "alg": "RS256", "kid": "r1"}, CLAIMS, RSA, "RS256"), RESOURCE)
    edwards = OKPKey.generate_key("Ed25519")
    issuer = Issuer(name="ed", issuer=ISS, algorithms=frozenset({"EdDSA", "Ed25519"}))
    table = Validator([(issuer, StaticKeys({"k1": edwards}))], clock=CLOCK)
    for alg in ("EdDSA", "Ed25519"):
        assert table.validate(signed({**HEADER, "alg": alg}, CLAIMS, edwards, alg), RESOURCE).subject == "u1"


def test_messages_hold_nothing_of_the_token() -> None:
    text = token(claims={"sub": "very-private\n"})
    with pytest.raises(Unauthenticated) as caught:
        validator().validate(text, RESOURCE)
    assert "very-private" not in caught.value.message + caught.value.hint
