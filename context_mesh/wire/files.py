"""Files in arguments: bytes that a model gives as base64 or as text, never a path and never a URL of ours to open."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from context_mesh.wire.spelling import BadArgument

MAX_FILENAME_CHARS: Final = 255
_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}(; ?charset=[A-Za-z0-9_-]{1,40})?", re.I)


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file: its bytes, a name without folders (perhaps empty), a media type (perhaps empty)."""

    data: bytes
    filename: str = ""
    media_type: str = ""


def file_of(value: object) -> FilePart:
    """Return the file that an argument holds: `{"data": base64, "filename": …, "type": …}`, or base64 alone.

    Raises `BadArgument` for what is no base64, a name with folders or control characters, or an odd media type.
    """
    if isinstance(value, str):
        return FilePart(_bytes_of(value))
    if not isinstance(value, Mapping):
        raise BadArgument('a file is given as `{"data": base64}`')
    members = cast("Mapping[str, object]", value)
    data, filename, media_type = members.get("data"), members.get("filename", ""), members.get("type", "")
    if not isinstance(data, str) or not isinstance(filename, str) or not isinstance(media_type, str):
        raise BadArgument("a file has `data` in base64, and may have `filename` and `type`, all of them texts")
    if not _is_name(filename):
        raise BadArgument("a file's name has no folders and no control characters")
    if media_type and not _TYPE.fullmatch(media_type):
        raise BadArgument("a file's `type` is a media type such as `image/png`")
    return FilePart(_bytes_of(data), filename, media_type)


def _is_name(filename: str) -> bool:
    if len(filename) > MAX_FILENAME_CHARS or filename in (".", "..") or "/" in filename or "\\" in filename:
        return False
    return not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in filename)


def _bytes_of(text: str) -> bytes:
    """Return what base64 stands for, the URL-safe alphabet and missing padding included."""
    plain = text.translate(_PLAIN)
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadArgument("a file's `data` is not base64") from None


_PLAIN: Final = {ord("-"): "+", ord("_"): "/", ord("="): None, ord("\n"): None, ord("\r"): None}
