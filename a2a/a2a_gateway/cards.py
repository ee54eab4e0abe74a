"""Agent cards as agents give them, in every shape: 1.0, 0.3, and both at once.

Nothing of a card is believed: it is read here, pinned, and what the gateway serves is
written anew by `offer`. Signatures are verified by `signatures`.
Source: A2A 1.0.1, 4.4 and 8; A2A 0.3.0, 5.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast
from urllib.parse import urlsplit

from a2a_gateway.operations import Version
from gateway_policies import pins, strict_json
from gateway_policies.pins import Change
from gateway_policies.refusal import BadRequest, UpstreamFailed

WELL_KNOWN: Final = "/.well-known/agent-card.json"
LEGACY_WELL_KNOWN: Final = "/.well-known/agent.json"

MAX_CARD_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_SKILLS: Final = 500
MAX_INTERFACES: Final = 32
MAX_NAME_CHARS: Final = 256
MAX_URL_CHARS: Final = 2048

Object = Mapping[str, object]
Shape = Literal["1.0", "0.3", "dual"]


@dataclass(frozen=True, slots=True)
class Interface:
    """Where an agent says it answers.

    binding  `JSONRPC`, `HTTP+JSON`, `GRPC` or one that we do not know
    version  `Major.Minor`, or what the card says when that is no number
    """

    url: str
    binding: str
    version: str
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Skill:
    """What an agent says it can do; `raw` has every member."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    raw: Object


@dataclass(frozen=True, slots=True)
class Card:
    """A card that was read.

    raw  every member as parsed; what is pinned and verified
    """

    raw: Object
    shape: Shape
    name: str
    description: str
    version: str
    interfaces: tuple[Interface, ...]
    skills: tuple[Skill, ...]
    is_streaming: bool
    is_pushing: bool
    has_extended_card: bool

    def skill(self, skill_id: str) -> Skill | None:
        return next((skill for skill in self.skills if skill.id == skill_id), None)

    def interface(self, version: Version, binding: str) -> Interface | None:
        """Return the first interface of the agent in a dialect."""
        return next((one for one in self.interfaces if (one.version, one.binding) == (version, binding)), None)


def parse(body: bytes) -> Card:
    """Read the card that an agent serves.

    Raises `UpstreamFailed` (code `bad_card`) for what is not strict JSON, is larger than 256 KiB, or lacks
    a name or an interface; and for skills without an id or with the same id twice.
    """
    if len(body) > MAX_CARD_BYTES:
        raise _bad(f"it has more than {MAX_CARD_BYTES} bytes")
    try:
        value = strict_json.parse(body, max_depth=MAX_DEPTH)
    except BadRequest as error:
        raise _bad(error.message) from None
    if not isinstance(value, dict):
        raise _bad("it is no JSON object")
    return read(cast("dict[str, object]", value))


def read(raw: Object) -> Card:
    """Read a card that is parsed already, such as the extended one of a JSON-RPC answer; raises like `parse`."""
    name = text(raw, "name")
    if not name:
        raise _bad("it has no name")
    is_new, is_old = raw.get("supportedInterfaces") is not None, bool(text(raw, "url", MAX_URL_CHARS))
    interfaces = _new_interfaces(raw) if is_new else _old_interfaces(raw)
    if not interfaces:
        raise _bad("it names no interface")
    capabilities = member(raw, "capabilities")
    extended = capabilities.get("extendedAgentCard") is True or raw.get("supportsAuthenticatedExtendedCard") is True
    return Card(
        raw=raw,
        shape="dual" if is_new and is_old else "1.0" if is_new else "0.3",
        name=name,
        description=text(raw, "description", MAX_CARD_BYTES),
        version=text(raw, "version"),
        interfaces=tuple(interfaces),
        skills=tuple(_skills(raw)),
        is_streaming=capabilities.get("streaming") is True,
        is_pushing=capabilities.get("pushNotifications") is True,
        has_extended_card=extended,
    )


def _new_interfaces(raw: Object) -> Sequence[Interface]:
    return [
        Interface(
            url=_url(one),
            binding=text(one, "protocolBinding") or "JSONRPC",
            version=_series(text(one, "protocolVersion") or "1.0"),
            tenant=text(one, "tenant"),
        )
        for one in items(raw, "supportedInterfaces", MAX_INTERFACES)
    ]


def _old_interfaces(raw: Object) -> Sequence[Interface]:
    if not text(raw, "url", MAX_URL_CHARS):
        return []
    version = _series(text(raw, "protocolVersion") or "0.3")
    first = Interface(_url(raw), text(raw, "preferredTransport") or "JSONRPC", version)
    more = [
        Interface(_url(one), text(one, "transport") or "JSONRPC", version)
        for one in items(raw, "additionalInterfaces", MAX_INTERFACES)
    ]
    return [first, *(one for one in more if one != first)]


def _skills(raw: Object) -> Sequence[Skill]:
    skills = [
        Skill(
            id=text(one, "id"),
            name=text(one, "name") or text(one, "id"),
            description=text(one, "description", MAX_CARD_BYTES),
            tags=tuple(tag for tag in cast("list[object]", one.get("tags") or []) if isinstance(tag, str))
            if isinstance(one.get("tags"), list)
            else (),
            raw=one,
        )
        for one in items(raw, "skills", MAX_SKILLS)
    ]
    ids = [skill.id for skill in skills]
    if "" in ids or len(set(ids)) != len(ids):
        raise _bad("a skill has no id, or two have the same")
    return skills


def _series(version: str) -> str:
    """Return `Major.Minor` of a version that has them."""
    return ".".join(version.split(".")[:2])


def _url(holder: Object) -> str:
    url = text(holder, "url", MAX_URL_CHARS)
    try:
        parts = urlsplit(url)
        is_usable = bool(parts.scheme and parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_usable = False
    # A gRPC interface is often `host:port`.
    if not is_usable and not (url and "/" not in url and url.rpartition(":")[2].isdigit()):
        raise _bad("an interface has no usable URL")
    return url


# --- what was approved -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drift:
    """How a fetched card differs from the approved one.

    changes   for people, in reading order
    endpoints, skills, security  whether the change touches where calls go, what may be asked for, or
              how the agent wants to be authenticated: what nobody should change unseen
    """

    changes: tuple[Change, ...]
    endpoints: bool
    skills: bool
    security: bool


def pin(name: str, raw: Object) -> str:
    """Return the pin of an agent's card; signatures do not count, for they may differ with every answer."""
    return pins.digest(name, _unsigned(raw))


def drift(approved: Object, fetched: Object) -> Drift:
    """Compare two parsed cards; no changes exactly when their pins agree."""
    before, after = _unsigned(approved), _unsigned(fetched)

    def differs(*names: str) -> bool:
        return any(before.get(name) != after.get(name) for name in names)

    return Drift(
        changes=pins.diff(before, after),
        endpoints=differs("supportedInterfaces", "url", "preferredTransport", "additionalInterfaces"),
        skills=differs("skills"),
        security=differs("securitySchemes", "securityRequirements", "security"),
    )


def _unsigned(raw: Object) -> dict[str, object]:
    return {name: value for name, value in raw.items() if name != "signatures"}


# --- members ---------------------------------------------------------------------------------


def text(holder: Object, name: str, max_chars: int = MAX_NAME_CHARS) -> str:
    """Return a string member, empty when absent or null; raises `UpstreamFailed` for anything else."""
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > max_chars:
        raise _bad(f"`{name}` is no string of at most {max_chars} characters")
    return value


def member(holder: Object, name: str) -> Object:
    """Return an object member, empty when absent or null; raises `UpstreamFailed` for anything else."""
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad(f"`{name}` is no object")
    return cast("dict[str, object]", value)


def items(holder: Object, name: str, max_items: int = MAX_SKILLS) -> Sequence[Object]:
    """Return a list of objects, empty when absent or null; raises `UpstreamFailed` for anything else."""
    value = holder.get(name)
    if value is None:
        return []
    found = cast("list[object]", value) if isinstance(value, list) else None
    if found is None or len(found) > max_items or not all(isinstance(item, dict) for item in found):
        raise _bad(f"`{name}` is no list of at most {max_items} objects")
    return cast("list[Object]", found)


def _bad(why: str) -> UpstreamFailed:
    return UpstreamFailed(f"the agent's card cannot be used: {why}", code="bad_card")
