"""Media types: what a name means for reading and writing."""

from typing import Literal

Kind = Literal["json", "form", "multipart", "xml", "text", "lines", "events", "binary"]

_TEXTUAL = frozenset(
    {"application/yaml", "application/x-yaml", "application/javascript", "application/graphql", "application/sql",
     "application/csv", "application/toml", "application/jwt", "application/x-pem-file", "application/ecmascript"}
)  # fmt: skip
_LINES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-seq",
     "application/jsonlines", "application/x-jsonlines", "application/json-lines"}
)  # fmt: skip


def bare(name: str) -> str:
    """Return a media type in lower case, without its parameters."""
    return name.partition(";")[0].strip().lower()


def kind_of(name: str) -> Kind:
    """Return how a body of this media type is read and written; `binary` when nothing is known of it.

    name  with or without parameters, a range (`image/*`) included
    """
    plain = bare(name)
    if plain in _LINES:
        return "lines"
    if plain == "application/json" or plain.endswith("+json") or plain in ("text/json", "application/x-json"):
        return "json"
    if plain == "application/x-www-form-urlencoded":
        return "form"
    if plain.startswith("multipart/"):
        return "multipart"
    if plain in ("application/xml", "text/xml") or (plain.endswith("+xml") and not plain.startswith("image/")):
        return "xml"
    if plain == "text/event-stream":
        return "events"
    if plain.startswith("text/") or plain in _TEXTUAL or plain.endswith("+yaml"):
        return "text"
    return "binary"


def fits(range_: str, name: str) -> bool:
    """Say whether a media type lies in a range: `image/*` holds `image/png`, `*/*` everything."""
    wanted, given = bare(range_), bare(name)
    if wanted in ("*/*", "*", given):
        return True
    return wanted.endswith("/*") and given.startswith(wanted[:-1])
