"""Read: from an HTTP answer to what a tool's caller is told, success and failure alike.

Nothing of the answer is believed beyond its bytes: an answer that is not what its description says is
still handed on. What does not fit is cut, and the whole is given back for keeping (`Reading.whole`).
"""

import base64
import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, NoReturn, cast
from urllib.parse import parse_qsl, urljoin, urlsplit

from context_mesh.openapi.model import ABSENT
from context_mesh.wire.address import origin_of
from context_mesh.wire.failure import failure_text
from context_mesh.wire.media import bare, kind_of
from context_mesh.wire.shape import Cut, json_text, projected, shortened

MAX_EVENTS: Final = 1000
_BLANK_LINE: Final = re.compile(r"\r\n\r\n|\n\n|\r\r")
_LINK: Final = re.compile(r'<([^<>]{1,2048})>\s*;[^,<]*\brel="?next"?')


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    headers  names in lower case
    url      where it was asked for, for links in it
    is_cut   whether the body had no end within the bounds (a stream)
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of an answer a caller is shown.

    fields     dotted names; empty: all
    max_chars  of the text; 8 000 tokens are about 32 000
    max_blob   bytes of a file that is handed over as it is
    """

    fields: tuple[str, ...] = ()
    max_chars: int = 32_000
    max_blob: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer, read.

    content     MCP content blocks
    structured  a JSON value, or ABSENT
    whole       when something was cut: everything, as a JSON value, a text, or bytes; else ABSENT
    notes       sentences for the model: what was cut, where the next page is
    """

    content: tuple[Mapping[str, object], ...]
    structured: object = ABSENT
    is_error: bool = False
    whole: object = ABSENT
    media_type: str = ""
    cuts: tuple[Cut, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def result(self, handle: str = "") -> dict[str, object]:
        """Return MCP's `CallToolResult`.

        handle  under which `whole` was kept; empty when it was not
        """
        notes = [*self.notes, *_cut_notes(self, handle)]
        content: list[Mapping[str, object]] = [*self.content]
        if notes:
            content.append(_text("\n".join(notes)))
        members: dict[str, object] = {"content": content}
        if self.structured is not ABSENT:
            members["structuredContent"] = self.structured
        if self.is_error:
            members["isError"] = True
        return members


def read(answer: Answer, shape: Shape) -> Reading:
    """Return what the caller is told of an answer; never raises for what is in it."""
    if answer.status >= 400:
        return Reading((_text(failure_text(answer.status, answer.headers, answer.body)),), is_error=True)
    if 300 <= answer.status < 400:
        return Reading((_text(_redirect_text(answer)),), is_error=True)
    if not answer.body:
        told = _status_of(answer)
        return Reading((_text(json_text(told)),), told)
    reading = _read_body(answer, shape)
    notes = [*reading.notes, *_next_notes(answer), *_waiting_notes(answer)]
    if answer.is_cut:
        notes.append("The answer is a stream without an end; this is its beginning.")
    return replace(reading, notes=tuple(notes))


def _read_body(answer: Answer, shape: Shape) -> Reading:
    media = bare(answer.headers.get("content-type", ""))
    kind = kind_of(media) if media else _guessed(answer.body)
    if kind in ("json", "lines", "events"):
        value = _value_of(kind, answer)
        if value is not ABSENT:
            return _read_value(value, media, shape)
        kind = "text"
    if kind in ("text", "xml", "form", "multipart"):
        return _read_text(_decoded(answer), media, shape)
    return _read_bytes(answer.body, media or "application/octet-stream", shape)


def _guessed(body: bytes) -> str:
    """Return the kind of a body that does not say: JSON when it begins like it, else text, else bytes."""
    if body.lstrip()[:1] in (b"{", b"["):
        return "json"
    try:
        body.decode()
    except UnicodeDecodeError:
        return "binary"
    return "binary" if b"\0" in body else "text"


# --- values ----------------------------------------------------------------------------------


def value_of(answer: Answer) -> object:
    """Return a body as it is computed with: a JSON value, a text, or ABSENT for none and for bytes."""
    media = bare(answer.headers.get("content-type", ""))
    kind = kind_of(media) if media else _guessed(answer.body)
    if not answer.body or kind == "binary":
        return ABSENT
    value = _value_of(kind, answer) if kind in ("json", "lines", "events") else ABSENT
    return _decoded(answer) if value is ABSENT else value


def _value_of(kind: str, answer: Answer) -> object:
    text = _decoded(answer)
    if kind == "json":
        return json_value(text)
    if kind == "events":
        return _events(text)
    rows = [json_value(line) for line in text.replace("\x1e", "").splitlines()[:MAX_EVENTS] if line.strip()]
    return ABSENT if any(row is ABSENT for row in rows[:-1]) else [row for row in rows if row is not ABSENT]


def json_value(text: str) -> object:
    """Return the value of a JSON text, ABSENT for what is none (`NaN` and endless nesting included)."""
    try:
        return cast("object", json.loads(text.removeprefix("\ufeff"), parse_constant=_refuse))
    except (ValueError, RecursionError):
        return ABSENT


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _events(text: str) -> list[object]:
    """Return the data of each event of a stream, JSON where it is JSON."""
    found: list[object] = []
    for block in _BLANK_LINE.split(text):
        data = "\n".join(line[5:].removeprefix(" ") for line in block.splitlines() if line.startswith("data:"))
        if data and len(found) < MAX_EVENTS:
            value = json_value(data)
            found.append(data if value is ABSENT else value)
    return found


def _read_value(value: object, media: str, shape: Shape) -> Reading:
    kept = projected(value, shape.fields)
    shown, cuts = shortened(kept, shape.max_chars)
    whole = value if cuts else ABSENT
    return Reading((_text(json_text(shown)),), shown, whole=whole, media_type=media, cuts=cuts)


def _read_text(text: str, media: str, shape: Shape) -> Reading:
    if len(text) <= shape.max_chars:
        return Reading((_text(text),), media_type=media)
    cut = Cut("", len(text), shape.max_chars)
    return Reading((_text(text[: shape.max_chars]),), whole=text, media_type=media, cuts=(cut,))


def _read_bytes(body: bytes, media: str, shape: Shape) -> Reading:
    if len(body) > shape.max_blob:
        text = f"a file of {len(body)} bytes, {media}, too large to be shown"
        return Reading((_text(text),), whole=body, media_type=media, cuts=(Cut("", len(body), 0),))
    data = base64.b64encode(body).decode()
    family = media.partition("/")[0]
    if family in ("image", "audio"):
        return Reading(({"type": family, "data": data, "mimeType": media},), media_type=media)
    uri = f"agent-gateway:answer/{sha256(body).hexdigest()[:32]}"
    return Reading(({"type": "resource", "resource": {"uri": uri, "mimeType": media, "blob": data}},), media_type=media)


def _decoded(answer: Answer) -> str:
    charset = re.search(r'charset="?([A-Za-z0-9_.:-]{1,40})', answer.headers.get("content-type", ""))
    try:
        name = codecs.lookup(charset[1]).name if charset else "utf-8"
        return answer.body.decode(name, "replace")
    except (LookupError, ValueError):
        return answer.body.decode("utf-8", "replace")


# --- what else is to be said -----------------------------------------------------------------


def _text(text: str) -> dict[str, object]:
    return {"type": "text", "text": text}


def _status_of(answer: Answer) -> dict[str, object]:
    told: dict[str, object] = {"status": answer.status}
    location = _local(answer, "location") or _local(answer, "operation-location")
    if location:
        told["location"] = location
    for name in ("retry-after", "etag", "last-modified"):
        if name in answer.headers:
            told[name.replace("-", "_")] = answer.headers[name]
    return told


def _local(answer: Answer, header: str) -> str:
    """Return where a header leads, as a path; empty for another origin: upstream addresses are not told."""
    target = answer.headers.get(header, "")
    try:
        url = urljoin(answer.url, target)
        parts = urlsplit(url)
    except ValueError:
        return ""
    if not target or origin_of(url) != origin_of(answer.url):
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _waiting_notes(answer: Answer) -> list[str]:
    if answer.status != 202:
        return []
    where = _local(answer, "location") or _local(answer, "operation-location")
    wait = answer.headers.get("retry-after", "")
    return [
        "The work was accepted and is not done yet (202)."
        + (f" Its state is at `{where}`." if where else "")
        + (f" Ask again after {wait} seconds." if wait.isdigit() else "")
    ]


def _next_notes(answer: Answer) -> list[str]:
    """Return how to ask for the next page, when a `Link` header says so (RFC 8288)."""
    match = _LINK.search(answer.headers.get("link", ""))
    if match is None:
        return []
    try:
        query = urlsplit(urljoin(answer.url, match[1])).query
    except ValueError:
        return []
    before = dict(parse_qsl(urlsplit(answer.url).query))
    changed = {name: value for name, value in parse_qsl(query) if before.get(name) != value}
    return [f"There is a next page: {json_text(changed)}"] if changed else []


def _redirect_text(answer: Answer) -> str:
    where = _local(answer, "location")
    told = f"the API answers with a redirect ({answer.status})"
    if where:
        return f"{told} to `{where}`, which is not followed"
    return f"{told} to another host, which is not followed" if "location" in answer.headers else told


_NOTED_CUTS: Final = 5


def _cut_notes(reading: Reading, handle: str) -> Sequence[str]:
    if not reading.cuts:
        return ()
    said = [
        f"{f'`{cut.at}`' if cut.at else 'the answer'} shows {cut.shown} of {cut.total}"
        for cut in reading.cuts[:_NOTED_CUTS]
    ]
    more = len(reading.cuts) - _NOTED_CUTS
    text = "Cut to fit: " + "; ".join(said) + (f"; and {more} more places" if more > 0 else "") + "."
    if handle:
        text += f' Read on with `read_result`: {{"handle": "{handle}", "pointer": "{reading.cuts[0].at}", "offset": '
        text += f"{reading.cuts[0].shown}}}."
    return (text,)
