"""Compact: a signed JSON Web Token, read strictly and verified with one given key.

Which key, which algorithms and what the claims must say is for the callers
(`validator`, `assertions`). Nothing in a token's header ever leads to a key:
`jwk`, `jku`, `x5u` and `x5c` are not read.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

MAX_TOKEN_BYTES = 16 * 1024
MAX_JSON_DEPTH = 32
ASYMMETRIC = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")


class Malformed(ValueError):
    """Not a token this gateway reads, for a reason that may be told."""


@dataclass(frozen=True, slots=True)
class Compact:
    """The parts of one token. `claims` are only what it *says* until `is_signed_by` has held."""

    header: Mapping[str, object]
    claims: Mapping[str, object]
    signing_input: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        return text(self.header, "alg")

    @property
    def key_id(self) -> str:
        return text(self.header, "kid")

    @property
    def type(self) -> str:
        """The `typ` in lower case, without `application/`; empty when there is none."""
        return text(self.header, "typ").lower().removeprefix("application/")


def read(token: str) -> Compact:
    """Take a compact token apart.

    Raises `Malformed` for anything but three base64url segments around two JSON objects without
    duplicate names, NaN or deep nesting, for a `crit` or `b64` header, and beyond `MAX_TOKEN_BYTES`.
    Source: RFC 7515 5.2 and 4.1.11, RFC 7519 7.2, RFC 8725 2.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise Malformed(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    segments = token.split(".")
    if len(segments) != 3 or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise Malformed("the token is not a signed JSON web token")
    header = strict_object(_decode(segments[0]))
    if "crit" in header or "b64" in header:
        raise Malformed("the token asks for extensions that are not understood here")
    return Compact(
        header=header,
        claims=strict_object(_decode(segments[1])),
        signing_input=f"{segments[0]}.{segments[1]}".encode(),
        signature=_decode(segments[2]),
    )


def is_signed_by(compact: Compact, key: Key, algorithms: frozenset[str]) -> bool:
    """Tell whether `key` signed the token with one of `algorithms`, which must be asymmetric ones."""
    name = compact.algorithm
    if name not in algorithms or name not in ASYMMETRIC:
        return False
    algorithm = JWSRegistry.algorithms[name]
    try:
        algorithm.check_key(key)
        return algorithm.verify(compact.signing_input, compact.signature, key)
    except (JoseError, ValueError):
        return False


def strict_object(data: bytes) -> dict[str, object]:
    """Parse a JSON object in UTF-8; raises `Malformed` on duplicate names, NaN, other types, deep nesting."""
    if _depth(data) > MAX_JSON_DEPTH:
        raise Malformed("the JSON is nested too deeply")
    try:
        value: object = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except Malformed:
        raise
    except ValueError as error:
        raise Malformed("the JSON cannot be read") from error
    if not isinstance(value, dict):
        raise Malformed("the JSON is not an object")
    return cast("dict[str, object]", value)


def text(values: Mapping[str, object], name: str) -> str:
    """Return a string member, or the empty string when it is absent or of another type."""
    value = values.get(name)
    return value if isinstance(value, str) else ""


def seconds(values: Mapping[str, object], name: str) -> float | None:
    """Return a NumericDate, None when absent; raises `Malformed` when it is no finite number."""
    value = values.get(name)
    if value is None and name not in values:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e12:
        raise Malformed(f"`{name}` is not a time")
    return float(value)


def texts(values: Mapping[str, object], name: str, *, limit: int = 64) -> tuple[str, ...]:
    """Return a string or a list of strings as a tuple; raises `Malformed` for other types or too many."""
    value = values.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    items = cast("list[object]", value) if isinstance(value, list) else [None]
    if len(items) > limit or not all(isinstance(item, str) for item in items):
        raise Malformed(f"`{name}` is not a list of texts")
    return tuple(cast("Sequence[str]", items))


def _decode(segment: str) -> bytes:
    try:
        return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise Malformed("the token is not a signed JSON web token") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("the JSON has a name twice in one object")
    return found


def _no_constant(name: str) -> object:
    raise Malformed(f"the JSON holds `{name}`")


def _depth(data: bytes) -> int:
    """Return the deepest nesting; brackets inside strings count too, which only errs towards refusal."""
    if data.count(b"{") + data.count(b"[") <= MAX_JSON_DEPTH:
        return 0  # not deeper than allowed, however they are nested
    depth = deepest = 0
    for byte in data:
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest
