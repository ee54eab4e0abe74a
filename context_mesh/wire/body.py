"""Bodies: from values to bytes and their content type, in the one form that an operation is sent in."""

from collections.abc import Mapping
from typing import Final, cast

from context_mesh.openapi.model import Encoding, Field, MediaType
from context_mesh.wire import multipart
from context_mesh.wire.files import FilePart, file_of
from context_mesh.wire.media import bare, fits, kind_of
from context_mesh.wire.multipart import Part
from context_mesh.wire.spelling import BadArgument, compact_json, escaped, items_of, members_of, text_of
from context_mesh.wire.style import in_query
from context_mesh.wire.xml_text import xml_of

MAX_PARTS: Final = 1000
_OCTETS: Final = "application/octet-stream"


def encode_body(media: MediaType, value: object) -> tuple[bytes, str]:
    """Return the bytes of a body and its `Content-Type`.

    value  any JSON value; a file argument where the media type is a file; explicit nulls survive in JSON
    Raises `BadArgument` when the value cannot be written in this media type.
    """
    kind = kind_of(media.name)
    content_type = media.full or media.name
    if media.is_file or kind == "binary":
        return _file_body(media, value)
    match kind:
        case "json":
            return _utf8(compact_json(value)), content_type
        case "form":
            return _utf8("&".join(_form(media, value))), content_type
        case "multipart":
            return _multipart(media, value)
        case "xml":
            return _utf8(xml_of(value, media)), content_type
        case "lines":
            items = items_of(value)
            rows = [value] if items is None else items
            return _utf8("".join(compact_json(row) + "\n" for row in rows)), content_type
        case _:
            return _utf8(text_of(value)), content_type


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadArgument("an argument is not Unicode text") from None


def _file_body(media: MediaType, value: object) -> tuple[bytes, str]:
    if isinstance(value, str) and not media.is_file:
        return _utf8(value), _concrete(media, "")
    given = file_of(value)
    return given.data, _concrete(media, given.media_type)


def _concrete(media: MediaType, wanted: str) -> str:
    """Return what a file is sent as: the declared type, or the file's own when a range is declared."""
    if "*" not in media.name:
        return media.full or media.name
    return wanted if wanted and fits(media.name, wanted) else _OCTETS


# --- forms ---------------------------------------------------------------------------------


def _members(media: MediaType, value: object) -> list[tuple[Field, object]]:
    """Return the members of a form with what is known of each, in the schema's order; nulls are left out."""
    members = members_of(value)
    if members is None:
        raise BadArgument("a form is given as an object")
    known = {field.name: field for field in media.fields}
    ordered = [name for name in known if name in members] + [name for name in members if name not in known]
    return [(known.get(name) or Field(name, media.schema), members[name]) for name in ordered]


def _form(media: MediaType, value: object) -> list[str]:
    return [pair for field, item in _members(media, value) for pair in _form_field(field, item)]


def _form_field(field: Field, value: object) -> list[str]:
    encoding = field.encoding
    if encoding.style:
        explode = encoding.style in ("form", "deepObject") if encoding.explode is None else encoding.explode
        return in_query(field.name, value, encoding.style, explode=explode, keeps_reserved=encoding.allow_reserved)
    if encoding.content_type and kind_of(encoding.content_type) == "json":
        return [f"{escaped(field.name)}={escaped(compact_json(value))}"]
    if encoding.explode is not None:
        return in_query(field.name, value, "form", explode=encoding.explode, keeps_reserved=encoding.allow_reserved)
    if members_of(value) is not None:  # OpenAPI's default for an object in a form: JSON
        return [f"{escaped(field.name)}={escaped(compact_json(value))}"]
    return in_query(field.name, value, "form", explode=True, keeps_reserved=encoding.allow_reserved)


def _multipart(media: MediaType, value: object) -> tuple[bytes, str]:
    parts = [part for field, item in _members(media, value) for part in _parts(field, item)]
    if len(parts) > MAX_PARTS:
        raise BadArgument(f"a body has at most {MAX_PARTS} parts")
    boundary = multipart.boundary_of(parts)
    kind = bare(media.name) if "*" not in media.name else "multipart/form-data"
    return multipart.encode(parts, boundary, is_form=kind == "multipart/form-data"), f"{kind}; boundary={boundary}"


def _parts(field: Field, value: object) -> list[Part]:
    items = items_of(value) if field.is_many or not field.is_file else None
    if items is None:
        return [_part(field, value)]
    if field.encoding.content_type and not field.is_file and kind_of(field.encoding.content_type) == "json":
        return [_part(field, value)]  # the array as a whole is declared to be one JSON text
    return [_part(field, item) for item in items]


def _part(field: Field, value: object) -> Part:
    encoding = field.encoding
    if field.is_file or _looks_like_file(value, encoding):
        return _file_part(field, file_of(value))
    if encoding.content_type:
        declared = encoding.content_type.partition(",")[0].strip()
        text = compact_json(value) if kind_of(declared) == "json" else text_of(value)
        return Part(field.name, _utf8(text), declared)
    is_nested = members_of(value) is not None or items_of(value) is not None
    return Part(field.name, _utf8(text_of(value)), "application/json" if is_nested else "")


def _looks_like_file(value: object, encoding: Encoding) -> bool:
    """Say whether an undeclared file is meant: an object with base64 for a part declared to be binary."""
    if not isinstance(value, Mapping) or not encoding.content_type:
        return False
    is_binary = kind_of(encoding.content_type.partition(",")[0]) == "binary"
    return is_binary and isinstance(cast("Mapping[str, object]", value).get("data"), str)


def _file_part(field: Field, given: FilePart) -> Part:
    declared = [one.strip() for one in field.encoding.content_type.split(",") if one.strip()]
    if given.media_type and (not declared or any(fits(one, given.media_type) for one in declared)):
        content_type = given.media_type
    else:
        content_type = next((one for one in declared if "*" not in one), _OCTETS)
    return Part(field.name, given.data, content_type, given.filename or field.name)
