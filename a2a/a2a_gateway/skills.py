"""One skill of an agent: the extension by which a caller names it, and by which the gateway does.

`SendMessage` has no member for a skill. A message may name one in its metadata under
our extension; on a skill's own endpoint the gateway writes it there. The agent may
still do something else: this limits who may ask, not what an agent does.
Source: A2A 1.0.1, 4.6 "Extensions"; issue 4.3.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec
from msgspec import Raw

from a2a_gateway import raw
from a2a_gateway.cards import Object
from a2a_gateway.inbound import Inbound
from a2a_gateway.parts import invalid, text
from gateway_policies.refusal import BadRequest

EXTENSION: Final = "https://agent-gateway.invalid/a2a/skill/v1"  # a name; validators of cards want http(s)
MEMBER: Final = "skillId"


def declaration(skill_ids: Sequence[str], *, is_required: bool) -> Object:
    """Return what a card's capabilities say of the extension."""
    return {
        "uri": EXTENSION,
        "description": f'names the skill that a message asks for, in `metadata["{EXTENSION}"].{MEMBER}`',
        "required": is_required,
        "params": {"skills": list(skill_ids)},
    }


def named(inbound: Inbound) -> str:
    """Return the skill that a message names in its metadata, empty for none.

    Raises `BadRequest` (code `invalid_params`) when message and request name different ones.
    """
    message = inbound.parsed.get("message")
    names = {name for holder in (inbound.parsed, message) if (name := _named_in(holder))}
    if len(names) > 1:
        raise invalid("message and request name different skills")
    return names.pop() if names else ""


def _named_in(holder: object) -> str:
    for name in ("metadata", EXTENSION):
        if not isinstance(holder, Mapping):
            return ""
        holder = cast("Object", holder).get(name)
    return text(cast("Object", holder), MEMBER) if isinstance(holder, Mapping) else ""


def required() -> BadRequest:
    """Return the refusal of a message that must name its skill and does not."""
    return BadRequest(
        "a message to this agent names the skill that it asks for",
        code="extension_required",
        hint=f'send `A2A-Extensions: {EXTENSION}` and `metadata["{EXTENSION}"].{MEMBER}`',
    )


def with_skill(params: Mapping[str, Raw], skill_id: str) -> raw.Object:
    """Return a message's params with the skill written into its metadata, in place of any that stood there.

    Raises `BadRequest` (code `invalid_params`) for metadata that are no object.
    """
    message = raw.members(params["message"])
    metadata = _metadata(message) or {}
    named_skill = raw.write({MEMBER: skill_id})
    message = raw.edit(message, {"metadata": raw.write(raw.edit(metadata, {EXTENSION: named_skill}))})
    changed = raw.edit(params, {"message": raw.write(message)})
    outer = _metadata(params)
    if outer is not None:
        changed["metadata"] = raw.write(raw.edit(outer, {EXTENSION: None}))
    return changed


def _metadata(holder: Mapping[str, Raw]) -> raw.Object | None:
    """Return the metadata of a message or of its params, None where there are none."""
    value = bytes(holder.get("metadata", Raw(b"null")))
    if value == b"null":
        return None
    try:
        return raw.members(value)
    except msgspec.DecodeError:
        raise invalid("`metadata` must be an object") from None
