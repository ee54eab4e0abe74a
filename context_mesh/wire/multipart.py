"""Multipart bodies: RFC 7578 for forms, and RFC 2046 for the other kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

_ESCAPES: Final = {ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"}


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `name` is empty in what is no form; `filename` is None for a part that is no file."""

    name: str
    content: bytes
    content_type: str = ""
    filename: str | None = None


def boundary_of(parts: Sequence[Part]) -> str:
    """Return a boundary that no part contains, the same for the same parts."""
    digest = sha256()
    for part in parts:
        digest.update(part.name.encode("utf-8", "replace") + b"\0" + part.content + b"\0")
    return f"gateway-{digest.hexdigest()[:40]}"  # to contain it, a part would have to hold a hash of itself


def encode(parts: Sequence[Part], boundary: str, *, is_form: bool) -> bytes:
    """Return the body. Names and file names are escaped as browsers do (WHATWG HTML, 4.10.22.8)."""
    lines: list[bytes] = []
    for part in parts:
        lines.append(b"--" + boundary.encode() + b"\r\n")
        if is_form:
            disposition = f'form-data; name="{part.name.translate(_ESCAPES)}"'
            if part.filename is not None:
                disposition += f'; filename="{part.filename.translate(_ESCAPES)}"'
            lines.append(b"Content-Disposition: " + disposition.encode("utf-8", "replace") + b"\r\n")
        if part.content_type:
            lines.append(b"Content-Type: " + part.content_type.encode("ascii", "replace") + b"\r\n")
        lines.append(b"\r\n" + part.content + b"\r\n")
    lines.append(b"--" + boundary.encode() + b"--\r\n")
    return b"".join(lines)
