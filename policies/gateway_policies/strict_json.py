"""Strict JSON: one parser for every body that a decision is made on.

What two parsers could read differently is refused, so that what was decided on
is what is forwarded. Envelopes and limits on the size of a body are left to
others (`envelope`, the listener).
"""

import json
import re
from collections import Counter
from typing import Final, NoReturn, cast

import msgspec

from gateway_policies.nesting import is_deeper
from gateway_policies.refusal import BadRequest

MAX_DEPTH: Final = 64
MAX_INTEGER_CHARS: Final = 4300  # the decoder's own bound, sign included; a test holds it to this

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_MAX_NAME_SHOWN: Final = 64


def parse(body: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """Return the JSON value of `body`; integers of any size stay integers.

    max_depth  how many arrays and objects may be open at once

    Raises `BadRequest` (code `parse_error`) for anything but one RFC 8259 value in UTF-8: a byte
    order mark, a duplicate member name at any depth, NaN and Infinity, a number too large for a
    double, an integer of more than 4 300 digits, an escaped lone surrogate, trailing bytes.
    """
    if body.startswith(_BYTE_ORDER_MARK):
        raise _parse_error("the body starts with a byte order mark")
    try:
        value: object = _DECODER.decode(body)
    except UnicodeDecodeError:
        raise _parse_error("the body is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise _parse_error(_in_our_words(error)) from None
    except RecursionError:
        raise _parse_error("the body is nested too deeply") from None
    if is_deeper(body, max_depth):  # the decoder itself is safe at any depth: it gives up before the stack does
        raise _parse_error(f"the body is nested deeper than {max_depth} levels")
    _check_names(body, value)
    return value


def _check_names(body: bytes, value: object) -> None:
    """Refuse a duplicate name, looking for it only when there may be one.

    The decoder keeps the last of equal names. Every member that it dropped took at least one colon
    with it, and only the escape `\\u003a` becomes a colon when it is read: without it, as many colons
    after as before means that nothing was dropped. This costs a third of a hook per object; and no
    more colons than the outermost object has members means the same at once.
    """
    colons = body.count(b":")
    if isinstance(value, dict) and colons == len(cast("dict[str, object]", value)):
        return
    if b"\\u003" not in body and colons == _ENCODER.encode(value).count(b":"):
        return
    _HOOKED_DECODER.decode(body.decode())


def _object(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        _refuse_duplicate([name for name, _ in pairs])


def _refuse_duplicate(names: list[str]) -> NoReturn:
    name = next(name for name, count in Counter(names).items() if count > 1)
    shown = f"`{name}`" if len(name) <= _MAX_NAME_SHOWN and name.isprintable() else "a member"
    raise _parse_error(f"an object names {shown} twice")


def _in_our_words(error: msgspec.DecodeError) -> str:
    where = re.search(r"\(byte (\d+)\)", str(error))
    if where:
        return f"the body is not JSON at byte {where[1]}"
    if isinstance(error, msgspec.ValidationError):
        return f"a number is too large: a double, or an integer of {MAX_INTEGER_CHARS} characters, must hold it"
    return "the body is not JSON: it ends too early"


def _parse_error(message: str) -> BadRequest:
    return BadRequest(message, code="parse_error", hint="send one JSON value (RFC 8259) in UTF-8, each name once")


_DECODER: Final = msgspec.json.Decoder[object](object)
_ENCODER: Final = msgspec.json.Encoder()
_HOOKED_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=str, parse_float=str)
