"""Reading a plain `tools/call`: strictly, and only when nothing about it is unusual."""

from typing import Final, NamedTuple, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway_policies import strict_json
from gateway_policies.refusal import BadRequest
from mcp_registry.protocol.envelope import MAX_ID_BYTES

METHOD: Final = "tools/call"
_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params"})


class PlainCall(msgspec.Struct, frozen=True):
    """A `tools/call` of exactly the usual members.

    kind       what a client's calls of one tool have in common: name, raw `_meta`, order of the members of `params`
    arguments  as Python values, and raw
    """

    id: bytes
    kind: tuple[str, bytes, tuple[str, ...]]
    arguments: dict[str, object]
    arguments_raw: bytes


class _Params(msgspec.Struct):
    arguments: Raw
    meta: Raw = msgspec.field(name="_meta")


class _Call(msgspec.Struct):
    id: Raw
    params: _Params


def read_plain_call(body: bytes, max_depth: int) -> PlainCall | None:
    """Return the call that `body` is; None for anything else, right or wrong."""
    try:
        value = strict_json.parse(body, max_depth=max_depth)
    except BadRequest:
        return None
    if not isinstance(value, dict) or value.keys() != _MEMBERS:
        return None
    message = cast("dict[str, object]", value)
    request_id, params = message["id"], message["params"]
    if message["jsonrpc"] != "2.0" or message["method"] != METHOD or type(request_id) not in (str, int):
        return None
    if not isinstance(params, dict) or len(cast("dict[str, object]", params)) != 3:
        return None
    members = cast("dict[str, object]", params)
    name, arguments = members.get("name"), members.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict) or not isinstance(members.get("_meta"), dict):
        return None
    raw = _CALL.decode(body)
    id_raw = bytes(raw.id)
    if len(id_raw) > MAX_ID_BYTES:
        return None
    kind = (name, bytes(raw.params.meta), tuple(members))
    return PlainCall(id_raw, kind, cast("dict[str, object]", arguments), bytes(raw.params.arguments))


class Shape(NamedTuple):
    """All of a plain call's bytes but its id and its arguments, as one client writes its calls of one tool.

    A body of the same bytes around a whole number and one JSON object is the same call with these two.
    """

    before_id: bytes
    before_arguments: bytes
    after: bytes
    kind: tuple[str, bytes, tuple[str, ...]]

    def read(self, body: bytes, max_depth: int) -> PlainCall | None:
        """Return the call that `body` is when it has this shape; else None."""
        start = len(self.before_id)
        if not body.startswith(self.before_id) or not body.endswith(self.after):
            return None
        end = body.find(b",", start, start + _MAX_DIGITS + 1)
        if end < 0 or not body.startswith(self.before_arguments, end):
            return None
        id_raw = body[start:end]
        raw = body[end + len(self.before_arguments) : len(body) - len(self.after)]
        if not id_raw.isdigit() or (id_raw[0] == _ZERO and len(id_raw) > 1):
            return None
        try:
            arguments = strict_json.parse(raw, max_depth=max_depth - 2)
        except BadRequest:
            return None
        if not isinstance(arguments, dict) or raw[:1] != b"{" or raw[-1:] != b"}":
            return None
        return PlainCall(id_raw, self.kind, cast("dict[str, object]", arguments), raw)


def shape_of(body: bytes) -> Shape | None:
    """Return the shape of a body that is a plain call; None when its parts cannot be told apart."""
    call = read_plain_call(body, strict_json.MAX_DEPTH)
    if call is None or not call.id.isdigit() or len(call.id) > _MAX_DIGITS:
        return None
    at_id, at_arguments = _only(body, b'"id":' + call.id + b","), _only(body, b'"arguments":' + call.arguments_raw)
    if not 0 <= at_id < at_arguments:
        return None
    start = at_id + len(b'"id":')
    arguments_at = at_arguments + len(b'"arguments":')
    return Shape(
        body[:start],
        body[start + len(call.id) : arguments_at],
        body[arguments_at + len(call.arguments_raw) :],
        call.kind,
    )


def plain_result(body: bytes, id_raw: bytes) -> bytes | None:
    """Return the raw result of a modern upstream's answer to our id `id_raw`, when it is one of the usual kind.

    That is: complete, no tool that failed, no `_meta`. None for any other answer, right or wrong.
    """
    before = b'{"jsonrpc":"2.0","id":%b,"result":{' % id_raw
    if not body.startswith(before) or not body.isascii():
        return None
    result = body[len(before) - 1 : -1]
    try:
        head = _HEAD.decode(result)
    except (msgspec.DecodeError, RecursionError):
        return None
    is_usual = head.type == "complete" and head.meta is UNSET and head.is_error is False
    return result if is_usual and body[-1:] == b"}" else None


class _Head(msgspec.Struct):
    type: object = msgspec.field(default=UNSET, name="resultType")
    meta: Raw | UnsetType = msgspec.field(default=UNSET, name="_meta")
    is_error: object = msgspec.field(default=False, name="isError")


_HEAD: Final = msgspec.json.Decoder(_Head)


def _only(body: bytes, part: bytes) -> int:
    return body.find(part) if body.count(part) == 1 else -1


_MAX_DIGITS: Final = 15
_ZERO: Final = ord("0")
_CALL: Final = msgspec.json.Decoder(_Call)
