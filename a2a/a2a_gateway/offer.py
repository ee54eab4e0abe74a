"""The card that the gateway serves of an agent: written anew, leading nowhere but to the gateway.

Every member that carries a URL in any shape is replaced or dropped, the gateway's
authentication stands where the agent's stood, and what is left is scrubbed of the
agent's hosts. Signing is done by `signatures`.
Source: A2A 1.0.1, 4.4 and 8.2; A2A 0.3.0, 5.5; issue 4.2.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec

from a2a_gateway.cards import Card, Object, Shape, Skill, items, member
from a2a_gateway.operations import Dialect, Version
from a2a_gateway.scrub import Scrubber

LEGACY_VERSION: Final = "0.3.0"

# What the other shape is made of; a card of one shape has none of the other's.
_NEW_MEMBERS: Final = ("supportedInterfaces", "securityRequirements")
_OLD_MEMBERS: Final = (
    "url", "preferredTransport", "protocolVersion", "additionalInterfaces", "security",
    "supportsAuthenticatedExtendedCard",
)  # fmt: skip
_WRITTEN: Final = (*_NEW_MEMBERS, *_OLD_MEMBERS, "securitySchemes", "signatures", "capabilities", "skills")
_LINKS: Final = ("iconUrl", "documentationUrl")


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the gateway wants to be called: one security scheme in the words of both versions.

    new, old  the scheme's object in 1.0 and in 0.3
    """

    name: str
    new: Object
    old: Object
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """What the gateway serves of one agent.

    url             of JSON-RPC, and the base of HTTP+JSON paths
    dialects        in order of preference; what a client finds first
    shape           how the card is written; `dual` is read by clients of both versions
    hidden          upstream URLs whose hosts must not appear, besides those of the card itself
    skills          ids that may be seen; None for all
    facade          the one skill that this card is about, when it is a skill's own card
    is_pushing      whether push notifications are relayed
    has_extended    whether an extended card is served
    extensions      declarations of our own, after the agent's
    grpc            where 1.0 is spoken over gRPC, and the tenant that names this agent there; None: nowhere
    """

    url: str
    dialects: tuple[Dialect, ...]
    scheme: Scheme
    shape: Shape = "1.0"
    hidden: tuple[str, ...] = ()
    skills: Collection[str] | None = None
    facade: str = ""
    is_pushing: bool = False
    has_extended: bool = False
    extensions: tuple[Object, ...] = ()
    grpc: tuple[str, str] | None = None


def shape_for(card: Card, served: Collection[Version], asked: Version | None) -> Shape:
    """Return the shape in which a card is served.

    served  versions that callers may speak
    asked   the version that the request for the card speaks, None when it does not say

    What is asked for, if it is served; the one that is served; else both at once, unless the agent's own card
    is of 1.0 alone: members of 0.3 are unknown to 1.0, and strict readers of it refuse them.
    """
    if asked is not None and asked in served:
        return asked
    if len(set(served)) == 1:
        return next(iter(served))
    return "1.0" if card.shape == "1.0" else "dual"


def oauth2(name: str, *, token_url: str, metadata_url: str, scopes: Mapping[str, str]) -> Scheme:
    """Return the scheme of a token service that serves client credentials; scopes with what they are for."""
    flows = {"clientCredentials": {"tokenUrl": token_url, "scopes": dict(scopes)}}
    shared: dict[str, object] = {"flows": flows, "oauth2MetadataUrl": metadata_url}
    return Scheme(name, {"oauth2SecurityScheme": shared}, {"type": "oauth2"} | shared, tuple(scopes))


def bearer(name: str) -> Scheme:
    """Return the scheme of a token whose origin the card does not tell."""
    shared: dict[str, object] = {"scheme": "Bearer"}
    return Scheme(name, {"httpAuthSecurityScheme": shared}, {"type": "http"} | shared)


def write(card: Card, offer: Offer) -> dict[str, object]:
    """Return the card to serve, unsigned.

    Members that nobody here knows are kept, scrubbed. Raises `KeyError` for a facade of no skill, and
    `ValueError` for an offer without a dialect of its shape.
    """
    scrubber = Scrubber((*offer.hidden, *(one.url for one in card.interfaces)), offer.url)
    kept = {name: value for name, value in card.raw.items() if name not in _WRITTEN}
    written: dict[str, object] = cast("dict[str, object]", scrubber.value(kept))
    for name in _LINKS:
        if name in written and not _is_link(written[name]):
            del written[name]
    _check_provider(written)
    written.setdefault("description", "")
    written.setdefault("version", "0")
    for name in ("defaultInputModes", "defaultOutputModes"):
        written.setdefault(name, ["text/plain"])
    written["capabilities"] = scrubber.value(_capabilities(card, offer))
    written["skills"] = [scrubber.value(_skill(skill)) for skill in _skills(card, offer)]
    if offer.facade:
        _narrow(written, card, scrubber, offer.facade)
    if offer.shape != "0.3":
        _write_new(written, offer)
    if offer.shape != "1.0":
        _write_old(written, offer)
    written["securitySchemes"] = {offer.scheme.name: _scheme(offer)}
    return written


def _write_new(written: dict[str, object], offer: Offer) -> None:
    dialects = [one for one in offer.dialects if offer.shape == "dual" or one.version == "1.0"]
    if not dialects:
        raise ValueError("a card of 1.0 needs a dialect of 1.0")
    interfaces = [
        {"url": offer.url, "protocolBinding": one.binding, "protocolVersion": one.version} for one in dialects
    ]
    if offer.grpc is not None:
        address, tenant = offer.grpc
        named = {"url": address, "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": tenant}
        interfaces.append(named)
    written["supportedInterfaces"] = interfaces
    scopes = {"list": list(offer.scheme.scopes)} if offer.scheme.scopes else {}
    written["securityRequirements"] = [{"schemes": {offer.scheme.name: scopes}}]


def _write_old(written: dict[str, object], offer: Offer) -> None:
    dialects = [one for one in offer.dialects if one.version == "0.3"]
    if not dialects:
        raise ValueError("a card of 0.3 needs a dialect of 0.3")
    first, *others = dialects
    written["url"] = offer.url
    written["preferredTransport"] = first.binding
    written["protocolVersion"] = LEGACY_VERSION
    if others:
        written["additionalInterfaces"] = [{"url": offer.url, "transport": one.binding} for one in dialects]
    written["security"] = [{offer.scheme.name: list(offer.scheme.scopes)}]
    if offer.has_extended:
        written["supportsAuthenticatedExtendedCard"] = True


def _scheme(offer: Offer) -> Object:
    """Return the scheme in the words of the shape; in both at once, or a client of 0.3 takes it for mutual TLS."""
    if offer.shape == "1.0":
        return offer.scheme.new
    return offer.scheme.old if offer.shape == "0.3" else {**offer.scheme.new, **offer.scheme.old}


def _capabilities(card: Card, offer: Offer) -> Object:
    """Return what the agent can do and the gateway lets through."""
    kept = {
        name: value
        for name, value in member(card.raw, "capabilities").items()
        if name not in ("extensions", "extendedAgentCard")
    }
    kept["streaming"] = card.is_streaming
    kept["pushNotifications"] = card.is_pushing and offer.is_pushing
    if offer.has_extended and offer.shape != "0.3":
        kept["extendedAgentCard"] = True
    ours = [extension.get("uri") for extension in offer.extensions]  # an agent's `uri` may be anything, hashable or not
    extensions = [
        one for one in items(member(card.raw, "capabilities"), "extensions") if one.get("uri") not in ours
    ] + list(offer.extensions)
    if extensions:
        kept["extensions"] = extensions
    return kept


def _skills(card: Card, offer: Offer) -> Sequence[Skill]:
    if offer.facade:
        skill = card.skill(offer.facade)
        if skill is None:
            raise KeyError(offer.facade)
        return [skill]
    return [skill for skill in card.skills if offer.skills is None or skill.id in offer.skills]


def _skill(skill: Skill) -> Object:
    """Return a skill as it is served: without security of its own, which nobody here would enforce."""
    kept = {name: value for name, value in skill.raw.items() if name not in ("security", "securityRequirements")}
    kept.setdefault("name", skill.name)
    kept.setdefault("description", skill.description)
    kept.setdefault("tags", list(skill.tags))
    return kept


def _narrow(written: dict[str, object], card: Card, scrubber: Scrubber, skill_id: str) -> None:
    """Make a card one skill's: its name, its words, its modes."""
    skill = cast("Skill", card.skill(skill_id))
    written["name"] = scrubber.text(f"{card.name}: {skill.name}")
    written["description"] = scrubber.text(skill.description or card.description)
    for own, default in (("inputModes", "defaultInputModes"), ("outputModes", "defaultOutputModes")):
        if skill.raw.get(own):
            written[default] = scrubber.value(skill.raw[own])


def _check_provider(written: dict[str, object]) -> None:
    """Drop a provider whose link is none: its URL is a required member."""
    provider = written.get("provider")
    if provider is not None and not (isinstance(provider, dict) and _is_link(cast("Object", provider).get("url"))):
        del written["provider"]


def _is_link(value: object) -> bool:
    """Say whether a person may be sent there: `javascript:`, `file:` and `data:` are no places."""
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


# --- caching ---------------------------------------------------------------------------------


def etag(written: Object) -> str:
    """Return the weak tag of a served card; signatures do not count, for they differ with every signing."""
    unsigned = {name: value for name, value in written.items() if name != "signatures"}
    return f'W/"{sha256(msgspec.json.encode(unsigned, order="sorted")).hexdigest()}"'


def is_current(if_none_match: str | None, tag: str) -> bool:
    """Say whether a conditional request has the card already, by weak comparison (RFC 9110, 8.8.3.2)."""
    if if_none_match is None:
        return False
    candidates = [one.strip() for one in if_none_match.split(",")]
    return "*" in candidates or tag.removeprefix("W/") in {one.removeprefix("W/") for one in candidates}
