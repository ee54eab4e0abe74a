"""JSON objects whose members are kept byte for byte: what is not looked at is not changed."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

Object = dict[str, Raw]


def members(value: bytes | Raw) -> Object:
    """Return the raw members of a JSON object; raises `msgspec.DecodeError` for anything else."""
    return _OBJECT.decode(value)


def elements(value: bytes | Raw) -> list[Raw]:
    """Return the raw elements of a JSON array; raises `msgspec.DecodeError` for anything else."""
    return _ARRAY.decode(value)


def edit(holder: Mapping[str, Raw], changes: Mapping[str, Raw | None]) -> Object:
    """Return members with the named ones replaced, removed (None) or added at the end; order is kept."""
    edited = dict(holder)
    for name, value in changes.items():
        if value is None:
            edited.pop(name, None)
        else:
            edited[name] = value
    return edited


def write(value: object) -> Raw:
    """Return any JSON value as raw bytes, `Raw` in it as it is."""
    return Raw(_ENCODER.encode(value))


def parse(value: bytes | Raw) -> object:
    """Return the value that raw bytes spell."""
    return _ANY.decode(value)


_ENCODER: Final = msgspec.json.Encoder()
_OBJECT: Final = msgspec.json.Decoder(Object)
_ARRAY: Final = msgspec.json.Decoder(list[Raw])
_ANY: Final = msgspec.json.Decoder[object](object)
