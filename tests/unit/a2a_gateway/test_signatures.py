"""Signatures: ours verify with the SDK, the SDK's verify here, and what is not covered is said."""

import base64
import json
from typing import Any, cast

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.types import AgentCard
from a2a.utils.signing import (
    InvalidSignaturesError,
    create_agent_card_signer,
    create_signature_verifier,
)
from a2a.utils.signing import _canonicalize_agent_card as sdk_canonical  # pyright: ignore[reportPrivateUsage]
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from google.protobuf.json_format import MessageToDict

from a2a_gateway.cards import read
from a2a_gateway.jcs import canonical
from a2a_gateway.offer import Offer, bearer, write
from a2a_gateway.operations import Dialect
from a2a_gateway.signatures import Header, of_sdk, of_specification, sign, verify
from gateway_policies.refusal import BadRequest
from support.card_samples import DUAL, NEW, OLD

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
BOTH = (Dialect("1.0", "JSONRPC"), Dialect("0.3", "JSONRPC"))
OFFERS = {
    shape: Offer("https://gw.example/a2a/r", BOTH, bearer("gateway"), shape=shape, hidden=("http://10.1.2.3:8080",))
    for shape in ("1.0", "0.3", "dual")
}
HEADER = Header("ES256", "k1", "https://gw.example/.well-known/jwks.json")


def make(data: bytes) -> bytes:
    r, s = decode_dss_signature(KEY.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def check(header: Header, data: bytes, signature: bytes) -> bool:
    if header.kid != "k1" or len(signature) != 64:
        return False
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        KEY.public_key().verify(der, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def sdk_verifies(card: dict[str, Any]) -> bool:
    verifier = create_signature_verifier(lambda kid, jku: PUBLIC, ["ES256"])
    try:
        verifier(parse_agent_card(json.loads(json.dumps(card))))
    except InvalidSignaturesError:
        return False
    return True


def by_sdk(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a card signed and written by the SDK."""
    signer = create_agent_card_signer(PEM, {"alg": "ES256", "kid": "k1", "jku": None, "typ": "JOSE"})
    card = parse_agent_card(json.loads(json.dumps({k: v for k, v in raw.items() if k != "signatures"})))
    return MessageToDict(signer(card))


def signed_as(raw: dict[str, Any], payload: object, **members: Any) -> dict[str, Any]:
    protected = encoded(json.dumps({"alg": "ES256", "kid": "k1", **members}).encode())
    signature = encoded(make(f"{protected}.{encoded(canonical(payload))}".encode()))
    return {**raw, "signatures": [{"protected": protected, "signature": signature}]}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.requirement("a2a.card-signatures")
@pytest.mark.parametrize("raw", [NEW, OLD, DUAL], ids=["new", "old", "both"])
@pytest.mark.parametrize("name", list(OFFERS))
def test_what_we_sign_verifies_with_the_sdk_and_here(raw: dict[str, Any], name: str) -> None:
    raw = {k: v for k, v in raw.items() if k != "x-unknown"}
    card = sign(write(read(raw), OFFERS[name]), HEADER, make)
    assert verify(card, check) is not None
    if name != "0.3":  # what the SDK verifies is a card of 1.0
        assert sdk_verifies(card)
        assert not sdk_verifies({**card, "name": "forged"})
    verdict = verify({**card, "name": "forged"}, check)
    assert verdict is None


@pytest.mark.requirement("a2a.card-signatures")
def test_what_the_sdk_signs_verifies_here() -> None:
    card = by_sdk({**NEW, "skills": [{"id": "s", "name": "s", "description": "", "tags": []}]})
    verdict = verify(card, check)
    assert verdict is not None
    assert verdict.header == Header("ES256", "k1", "")
    assert verdict.covers_all


@pytest.mark.requirement("a2a.card-signatures")
def test_a_member_that_the_sdk_does_not_see_is_not_covered() -> None:
    card = by_sdk(NEW)
    injected = {**card, "x-injected": {"url": "http://evil.example"}}
    assert sdk_verifies(injected), "the SDK checks only what it knows"
    verdict = verify(injected, check)
    assert verdict is not None
    assert (verdict.reading, verdict.covers_all) == ("sdk", False)


@pytest.mark.requirement("a2a.card-signatures")
def test_a_signature_after_the_specification_holds_although_the_sdk_refuses_it() -> None:
    raw: dict[str, Any] = {
        **NEW,
        "x-unknown": 1,
        "skills": [{"id": "s", "name": "s", "description": "", "tags": []}],
        "iconUrl": None,
    }
    raw["supportedInterfaces"] = [{**raw["supportedInterfaces"][0], "tenant": ""}]
    payload = of_specification({k: v for k, v in raw.items() if k != "signatures"})
    kept = cast("dict[str, Any]", payload)
    assert kept["skills"] == raw["skills"]
    assert "tenant" not in kept["supportedInterfaces"][0]
    assert "iconUrl" not in kept
    card = signed_as(raw, payload)
    assert not sdk_verifies(card)
    verdict = verify(card, check)
    assert verdict is not None
    assert (verdict.reading, verdict.covers_all) == ("specification", True)


def test_a_card_of_0_3_is_verified_as_it_is() -> None:
    raw = {k: v for k, v in OLD.items() if k not in ("signatures", "x-unknown")}
    verdict = verify(signed_as(raw, raw, jku="https://a.example"), check)
    assert verdict is not None
    assert (verdict.reading, verdict.header.jku) == ("as-is", "https://a.example")


def test_the_sdk_s_reading_is_the_sdk_s() -> None:
    raw = {k: v for k, v in NEW.items() if k not in ("signatures", "x-unknown")}
    raw["capabilities"] = {
        "streaming": False,
        "extensions": [{"uri": "urn:x", "required": False, "params": {"a": [], "b": [{}], "c": 2, "d": "", "e": 1.5}}],
    }
    assert canonical(of_sdk(raw)).decode() == sdk_canonical(parse_agent_card(json.loads(json.dumps(raw))))
    assert canonical(of_sdk(MessageToDict(AgentCard(name="x")))) == b'{"name":"x"}'


BROKEN: list[Any] = [
    {}, *({"protected": protected, "signature": "AA"} for protected in
          (7, "e30", "!", "e30=", "A", "é", encoded(b"[]"), encoded(b"{"), "A" * 8193)),
]  # fmt: skip


@pytest.mark.parametrize("one", BROKEN)
def test_a_malformed_signature_is_passed_over(one: Any) -> None:
    raw = {k: v for k, v in NEW.items() if k not in ("signatures", "x-unknown")}
    good = signed_as(raw, raw)
    assert verify({**raw, "signatures": [one]}, check) is None
    assert verify({**raw, "signatures": [one, *good["signatures"]]}, check) is not None
    assert verify({**raw, "signatures": [{**good["signatures"][0], "signature": "*"}]}, check) is None


@pytest.mark.requirement("a2a.card-signatures")
@pytest.mark.parametrize(
    "members",
    [
        {"alg": "none"}, {"alg": "HS256"}, {"alg": 7}, {"kid": ""}, {"kid": None}, {"kid": "other"}, {"jku": 7},
        {"crit": ["x"]}, {"b64": False}, {"x": {"x": {"x": {"x": {"x": 1}}}}},
    ],
)  # fmt: skip
def test_a_header_that_we_do_not_trust_is_passed_over(members: dict[str, Any]) -> None:
    raw = {k: v for k, v in NEW.items() if k not in ("signatures", "x-unknown")}
    assert verify(signed_as(raw, raw, **members), check) is None


def test_a_card_without_canonical_form_or_with_too_many_signatures_has_none_that_holds() -> None:
    assert verify(signed_as({"name": "a", "big": 2**60}, {"name": "a"}), check) is None
    raw = {"name": "a"}
    many = signed_as(raw, raw)["signatures"] * 9
    assert verify({**raw, "signatures": many}, check) is None
    assert verify(raw, check) is None
    with pytest.raises(BadRequest):
        sign({"name": "a", "big": 2**60}, HEADER, make)


def test_one_signature_where_both_readings_are_the_same_bytes() -> None:
    plain = {"name": "a", "version": "1"}
    assert len(sign(plain, HEADER, make)["signatures"]) == 1  # pyright: ignore[reportArgumentType]
    assert len(sign({**plain, "skills": []}, Header("ES256", "k1"), make)["signatures"]) == 2  # pyright: ignore[reportArgumentType]
