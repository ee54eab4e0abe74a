"""Signatures on cards: what is signed, and under which reading a signature holds.

The cryptography is a function that the caller passes in; this module says which bytes.
There are two readings in the world: the specification's (members at their defaults are
left out, required ones stay) and the SDK's (only members it knows, everything empty left
out). We verify under either, and sign so that both hold.
Source: A2A 1.0.1, 8.4 "Agent card signing"; RFC 7515; RFC 8785.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from a2a_gateway.cards import Object, items
from a2a_gateway.jcs import canonical
from gateway_policies import strict_json
from gateway_policies.refusal import BadRequest, UpstreamFailed

ALGORITHMS: Final = frozenset({"ES256", "ES384", "RS256", "PS256", "EdDSA"})  # no secret is shared, none is `none`
MAX_SIGNATURES: Final = 8
MAX_ENCODED_CHARS: Final = 8192

Reading = Literal["as-is", "specification", "sdk"]


@dataclass(frozen=True, slots=True)
class Header:
    """The protected header of a signature, checked for shape alone."""

    alg: str
    kid: str
    jku: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A signature that holds.

    covers_all  whether every member of the card is signed; the SDK's reading skips what it does not know
    """

    header: Header
    reading: Reading
    covers_all: bool


Check = Callable[[Header, bytes, bytes], bool]
"""Header, signing input, signature → whether a trusted key of that name made it."""


def verify(raw: Object, check: Check) -> Verdict | None:
    """Return the first signature of a parsed card that holds under one of the readings, or None.

    Signatures with another algorithm, without a `kid`, with `crit`, or malformed are passed over. A card
    that has no canonical form has no signature that holds.
    """
    try:
        payloads = list(_payloads(raw))
    except BadRequest:
        return None
    for protected, header, signature in _signatures(raw):
        for reading, payload, covers_all in payloads:
            if check(header, _signing_input(protected, payload), signature):
                return Verdict(header, reading, covers_all)
    return None


def sign(card: Object, header: Header, make: Callable[[bytes], bytes]) -> dict[str, object]:
    """Return `card` with our signatures in place of any that it had.

    make  signing input → raw signature (for ES256 the 64 bytes of R and S)

    One signature when both readings are the same bytes, else one for each. Raises `BadRequest` (code
    `no_canonical_form`) like `canonical`.
    """
    unsigned = {name: value for name, value in card.items() if name != "signatures"}
    members = {"alg": header.alg, "kid": header.kid, "typ": "JOSE"} | ({"jku": header.jku} if header.jku else {})
    protected = _encoded(json.dumps(members, separators=(",", ":")).encode())
    payloads = dict.fromkeys((canonical(of_specification(unsigned)), canonical(of_sdk(unsigned))))
    signatures = [
        {"protected": protected, "signature": _encoded(make(_signing_input(protected, payload)))}
        for payload in payloads
    ]
    return {**unsigned, "signatures": signatures}


def _payloads(raw: Object) -> Iterator[tuple[Reading, bytes, bool]]:
    unsigned = {name: value for name, value in raw.items() if name != "signatures"}
    as_is = canonical(unsigned)
    yield "as-is", as_is, True
    yield "specification", canonical(of_specification(unsigned)), True
    known = of_sdk(unsigned)
    yield "sdk", canonical(known), _without_empties(known) == _without_empties(unsigned)


def _signatures(raw: Object) -> Iterator[tuple[str, Header, bytes]]:
    try:
        found = items(raw, "signatures", MAX_SIGNATURES)
    except UpstreamFailed:
        return
    for one in found:
        protected, signature = one.get("protected"), one.get("signature")
        if isinstance(protected, str) and isinstance(signature, str):
            header, decoded = _header(protected), _decoded(signature)
            if header is not None and decoded is not None:
                yield protected, header, decoded


def _header(protected: str) -> Header | None:
    decoded = _decoded(protected)
    if decoded is None:
        return None
    try:
        value = strict_json.parse(decoded, max_depth=4)
    except BadRequest:
        return None
    if not isinstance(value, dict):
        return None
    members = cast("dict[str, object]", value)
    alg, kid, jku = members.get("alg"), members.get("kid"), members.get("jku") or ""
    if not (isinstance(alg, str) and isinstance(kid, str) and kid and isinstance(jku, str)):
        return None
    # `crit` and `b64` change what is signed; nobody here knows how.
    return None if alg not in ALGORITHMS or "crit" in members or "b64" in members else Header(alg, kid, jku)


def _signing_input(protected: str, payload: bytes) -> bytes:
    return f"{protected}.{_encoded(payload)}".encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes | None:
    """Return what base64url without padding says; None for what it would not have written."""
    if len(text) > MAX_ENCODED_CHARS or not text.isascii():
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return data if _encoded(data) == text else None


# --- the two readings ------------------------------------------------------------------------

# A member: `kind`, and whether it stays when it is at its default: required, or declared `optional`.
_ANY: Final = "any"  # a JSON value of the card's author, as it is
_TEXT: Final = "text"
_FLAG: Final = "flag"
_TEXTS: Final = "texts"

Fields = Mapping[str, tuple[object, bool]]  # name → kind (a word above, Fields, [Fields] or {Fields}), stays

_SCOPES: Final[Fields] = {"list": (_TEXTS, False)}
_REQUIREMENT: Final[Fields] = {"schemes": ({"*": _SCOPES}, False)}
_FLOW: Final[Fields] = {
    "authorizationUrl": (_TEXT, True), "deviceAuthorizationUrl": (_TEXT, True), "tokenUrl": (_TEXT, True),
    "refreshUrl": (_TEXT, False), "scopes": (_ANY, True), "pkceRequired": (_FLAG, False),
}  # fmt: skip
_FLOWS: Final = ("authorizationCode", "clientCredentials", "implicit", "password", "deviceCode")
_SCHEME: Final[Fields] = {
    "apiKeySecurityScheme": (
        {"description": (_TEXT, False), "location": (_TEXT, True), "name": (_TEXT, True)}, True
    ),
    "httpAuthSecurityScheme": (
        {"description": (_TEXT, False), "scheme": (_TEXT, True), "bearerFormat": (_TEXT, False)}, True
    ),
    "oauth2SecurityScheme": (
        {
            "description": (_TEXT, False),
            "flows": (
                dict.fromkeys(_FLOWS, (_FLOW, True)), True,
            ),
            "oauth2MetadataUrl": (_TEXT, False),
        }, True,
    ),
    "openIdConnectSecurityScheme": ({"description": (_TEXT, False), "openIdConnectUrl": (_TEXT, True)}, True),
    "mtlsSecurityScheme": ({"description": (_TEXT, False)}, True),
}  # fmt: skip
_INTERFACE: Final[Fields] = {
    "url": (_TEXT, True), "protocolBinding": (_TEXT, True), "tenant": (_TEXT, False), "protocolVersion": (_TEXT, True),
}  # fmt: skip
_EXTENSION: Final[Fields] = {
    "uri": (_TEXT, False), "description": (_TEXT, False), "required": (_FLAG, False), "params": (_ANY, False),
}  # fmt: skip
_SKILL: Final[Fields] = {
    "id": (_TEXT, True), "name": (_TEXT, True), "description": (_TEXT, True), "tags": (_TEXTS, True),
    "examples": (_TEXTS, False), "inputModes": (_TEXTS, False), "outputModes": (_TEXTS, False),
    "securityRequirements": ([_REQUIREMENT], False),
}  # fmt: skip
_CARD: Final[Fields] = {
    "name": (_TEXT, True), "description": (_TEXT, True), "supportedInterfaces": ([_INTERFACE], True),
    "provider": ({"url": (_TEXT, True), "organization": (_TEXT, True)}, False), "version": (_TEXT, True),
    "documentationUrl": (_TEXT, True),
    "capabilities": (
        {
            "streaming": (_FLAG, True), "pushNotifications": (_FLAG, True),
            "extensions": ([_EXTENSION], False), "extendedAgentCard": (_FLAG, True),
        }, True,
    ),
    "securitySchemes": ({"*": _SCHEME}, False), "securityRequirements": ([_REQUIREMENT], False),
    "defaultInputModes": (_TEXTS, True), "defaultOutputModes": (_TEXTS, True), "skills": ([_SKILL], True),
    "iconUrl": (_TEXT, True),
}  # fmt: skip


def of_specification(unsigned: Object) -> object:
    """Return what the specification signs: known members at their defaults left out unless they must stay."""
    return _reduced(unsigned, _CARD, keeps_unknown=True)


def of_sdk(unsigned: Object) -> object:
    """Return what the SDK signs: members of 1.0 alone, and nothing empty at any depth."""
    return _without_empties(_reduced(unsigned, _CARD, keeps_unknown=False))


def _reduced(value: object, kind: object, *, keeps_unknown: bool) -> object:
    """Return `value`, which should be of `kind`, without members at their defaults; another value as it is."""
    if isinstance(kind, list) and isinstance(value, list):
        inner = cast("list[object]", kind)[0]
        return [_reduced(item, inner, keeps_unknown=keeps_unknown) for item in cast("list[object]", value)]
    if not isinstance(kind, Mapping) or not isinstance(value, Mapping):
        return value
    fields, members = cast("Fields", kind), cast("Object", value)
    every = cast("object", fields.get("*"))
    kept: dict[str, object] = {}
    for name, item in members.items():
        if every is not None:
            kept[name] = _reduced(item, every, keeps_unknown=keeps_unknown)
        elif name in fields:
            inner, stays = fields[name]
            if item is not None and (stays or not _is_default(item)):
                kept[name] = _reduced(item, inner, keeps_unknown=keeps_unknown)
        elif keeps_unknown:
            kept[name] = item
    return kept


def _is_default(value: object) -> bool:
    return value is False or value in ("", [], {})


def _without_empties(value: object) -> object:
    """Return `value` without empty strings, lists and objects, from the inside out; None when nothing is left."""
    if isinstance(value, Mapping):
        members = {name: _without_empties(item) for name, item in cast("Object", value).items()}
        return {name: item for name, item in members.items() if item is not None} or None
    if isinstance(value, list):
        kept = [_without_empties(item) for item in cast("Sequence[object]", value)]
        return [item for item in kept if item is not None] or None
    return None if value == "" else value
