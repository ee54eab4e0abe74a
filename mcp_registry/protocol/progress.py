"""What runs beside a call: progress tokens, cancellation and log messages, as raw members.

A caller's token never travels on and an upstream never sees another's: each
request gets a token of ours, and this module swaps the two. Which token belongs
to which request is remembered by others.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from mcp_registry.protocol import envelope
from mcp_registry.protocol.envelope import MAX_ID_BYTES
from mcp_registry.protocol.inbound import LOG_LEVELS

PROGRESS: Final = "notifications/progress"
CANCELLED: Final = "notifications/cancelled"
LOG_MESSAGE: Final = "notifications/message"


def caller_token(meta: Mapping[str, Raw]) -> bytes | None:
    """Return the raw `progressToken` of a request's `_meta`, or None: no progress is wanted.

    A token that is neither string nor integer, or longer than an id may be, counts as none.
    """
    return _scalar(meta.get("progressToken"))


def progress(params: Raw, token: bytes) -> bytes:
    """Write a progress notification with `token` (raw) in place of the one in `params`; the rest stays.

    Raises `msgspec.DecodeError` when `params` is no object.
    """
    return envelope.notification(PROGRESS, envelope.edit(envelope.read_object(params), {"progressToken": token}))


def cancelled(id_raw: bytes, reason: str = "") -> bytes:
    """Write `notifications/cancelled` for the request that went out as `id_raw`."""
    params = {"requestId": Raw(id_raw)}
    if reason:
        params["reason"] = Raw(envelope.write(reason))
    return envelope.notification(CANCELLED, params)


def cancelled_id(params: Mapping[str, Raw]) -> str | int | None:
    """Return the id that a caller wants cancelled, as `id_key` gives it; None when it names none."""
    raw = _scalar(params.get("requestId"))
    return None if raw is None else id_key(raw)


def id_key(id_raw: bytes) -> str | int:
    """Return an id as a value to look requests up by: `1` and `"1"` differ, spellings of one string do not."""
    return _ID.decode(id_raw)


def is_loggable(params: Raw | None, minimum: str | None) -> bool:
    """Say whether a log message may go to a caller that asked for `minimum` and worse; None asked for nothing."""
    if params is None or minimum is None:
        return False
    try:
        level = _LEVEL.decode(params).level
    except msgspec.DecodeError:
        return False
    return level in LOG_LEVELS and LOG_LEVELS.index(level) >= LOG_LEVELS.index(minimum)


class _Level(msgspec.Struct):
    level: str


def _scalar(raw: Raw | None) -> bytes | None:
    """Return the bytes of a string or an integer of bounded length, else None."""
    if raw is None:
        return None
    found = bytes(raw)
    try:
        _ID.decode(found)
    except msgspec.DecodeError:
        return None
    return found if len(found) <= MAX_ID_BYTES else None


_ID: Final = msgspec.json.Decoder[str | int](str | int)
_LEVEL: Final = msgspec.json.Decoder(_Level)
