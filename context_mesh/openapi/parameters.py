"""Parameters of an operation, of every version, as one list by their names on the wire."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast, get_args

from context_mesh.openapi.files import BrokenReference, Files, Place, escape, shown
from context_mesh.openapi.members import flag, mapping, text
from context_mesh.openapi.model import ABSENT, Location, Parameter, Schema, SecurityScheme, Style
from context_mesh.openapi.report import Report
from context_mesh.openapi.security import is_credential

_LOCATIONS: Final = frozenset(get_args(Location))
_STYLES: Final[Mapping[str, frozenset[str]]] = {
    "path": frozenset({"simple", "label", "matrix"}),
    "query": frozenset({"form", "spaceDelimited", "pipeDelimited", "deepObject"}),
    "header": frozenset({"simple"}),
    "cookie": frozenset({"form", "cookie"}),
    "querystring": frozenset(),
}
_DEFAULT_STYLES: Final[Mapping[str, Style]] = {
    "path": "simple",
    "query": "form",
    "header": "simple",
    "cookie": "form",
    "querystring": "form",
}
_COLLECTIONS: Final[Mapping[str, Style]] = {
    "ssv": "spaceDelimited",
    "tsv": "tabDelimited",
    "pipes": "pipeDelimited",
}
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
_NOT_SCHEMA: Final = frozenset(
    {
        "name",
        "in",
        "description",
        "required",
        "collectionFormat",
        "allowEmptyValue",
        "style",
        "explode",
        "allowReserved",
        "content",
        "deprecated",
        "examples",
        "example",
    }
)
"""Members of a parameter that are not its schema's, where the two are one object (2.0)."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the `parameters` of an operation and its path hold.

    travelling  as a list of parameters
    body        2.0's `in: body`, and 3.x's by mistake
    form        2.0's `in: formData`
    """

    travelling: tuple[Parameter, ...]
    body: Place | None
    form: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A path with each variable as `{name}`, and what stood behind it.

    reserved  variables that may hold what HTTP reserves
    queries   query parameters that the path itself names
    query     sent as it is; `fragment` is never sent
    """

    path: str
    names: tuple[str, ...]
    reserved: frozenset[str]
    queries: tuple[str, ...]
    query: str
    fragment: str


def read_template(path: str) -> Template:
    """Return a path in plain form: `{+name}`, `{name*}`, `{name=projects/*}`, `{?a,b}` and `?a={a}` are known."""
    reserved: set[str] = set()
    queries: list[str] = []

    def plain(match: re.Match[str]) -> str:
        inside = match[1].strip()
        if inside[:1] in ("?", "&"):
            queries.extend(name.strip().rstrip("*") for name in inside[1:].split(","))
            return ""
        name = inside.lstrip("+").partition("=")[0].rstrip("*").strip() or inside
        if name != inside:
            reserved.add(name)
        return "{" + name + "}"

    raw, _, fragment = _VARIABLE.sub(plain, path).partition("#")
    raw, _, query = raw.partition("?")
    fixed: list[str] = []
    for pair in query.split("&"):
        if _VARIABLE.search(pair):
            queries.append(pair.partition("=")[0])
        elif pair:
            fixed.append(pair)
    names = _VARIABLE.findall(raw)
    return Template(
        path=raw if raw.startswith("/") else f"/{raw}",
        names=tuple(dict.fromkeys(names)),
        reserved=frozenset(reserved),
        queries=tuple(dict.fromkeys(name for name in queries if name and "{" not in name)),
        query="&".join(fixed),
        fragment=fragment,
    )


class ParameterReader:
    """Reads parameters against the security schemes, whose credentials it hides."""

    def __init__(self, files: Files, schemes: Mapping[str, SecurityScheme], report: Report) -> None:
        self._files = files
        self._schemes = schemes
        self._report = report

    def read(self, written: Sequence[Place], template: Template) -> Written:
        """Return the parameters of a path and an operation.

        written  each item of `parameters`, the path's first: a later one replaces an equal earlier one
        """
        found: dict[tuple[str, str], Parameter] = {}
        body: Place | None = None
        form: dict[str, Place] = {}
        for item in written:
            try:
                place = self._files.follow(item.value, item.file, item.pointer)
            except BrokenReference as error:
                self._report.broken(error, (item.file, item.pointer))
                continue
            members = mapping(place.value)
            location = text(members.get("in"))
            if location == "body":
                body = place
            elif location in ("formData", "form"):
                form[text(members.get("name"))] = place
            else:
                parameter = self._parameter(members, location, place)
                if parameter is not None:
                    found[location, parameter.name] = parameter
        return Written(self._fitted(list(found.values()), template), body, tuple(form.values()))

    def _parameter(self, members: Mapping[str, object], location: str, place: Place) -> Parameter | None:
        where = (place.file, place.pointer)
        name = text(members.get("name"))
        if location == "querystring" and not name:
            name = "query"
        if location not in _LOCATIONS or not name:
            what = f"a parameter in `{shown(location)}`" if name else "a parameter without a name"
            self._report.add("warning", "bad-parameter", where, f"{what} was left out")
            return None
        media_type, schema = self._schema(members, place)
        style, explode = self._style(members, location, where)
        description = text(members.get("description"))
        return Parameter(
            name=name,
            location=cast("Location", location),
            style=style,
            explode=explode,
            required=location == "path" or flag(members.get("required")),
            schema=schema,
            media_type=media_type,
            allow_reserved=flag(members.get("allowReserved")),
            allow_empty=flag(members.get("allowEmptyValue")),
            is_hidden=is_credential(name, location, description, self._schemes),
            deprecated=flag(members.get("deprecated")),
            description=description,
            example=example_of(members),
            pointer=str(place),
        )

    def _schema(self, members: Mapping[str, object], place: Place) -> tuple[str, Schema]:
        """Return the media type, or "", and the schema: `schema`, `content`, or the parameter itself (2.0)."""
        for full, form in mapping(members.get("content")).items():
            pointer = f"{place.pointer}/content/{escape(full)}/schema"
            return full, Schema(mapping(form).get("schema", True), place.file, pointer)
        if "schema" in members:
            return "", Schema(members["schema"], place.file, f"{place.pointer}/schema")
        own = {name: value for name, value in members.items() if name not in _NOT_SCHEMA and not name.startswith("x-")}
        for name in ("x-nullable", "x-enumNames"):
            if name in members:
                own[name] = members[name]
        return "", Schema(own, place.file, place.pointer)

    def _style(self, members: Mapping[str, object], location: str, where: tuple[str, str]) -> tuple[Style, bool]:
        collection = text(members.get("collectionFormat"))
        if collection or ("type" in members and "schema" not in members):
            return _collection(collection, location)
        style = text(members.get("style"))
        if style and style not in _STYLES[location]:
            self._report.add("warning", "bad-style", where, f"`{shown(style)}` is no style for a {location} parameter")
            style = ""
        style = style or _DEFAULT_STYLES[location]
        explode = members.get("explode")
        return cast("Style", style), explode if isinstance(explode, bool) else style in ("form", "cookie", "deepObject")

    def _fitted(self, parameters: list[Parameter], template: Template) -> tuple[Parameter, ...]:
        """Return parameters that agree with the path's template: each variable has one, and no other is in the path."""
        lower = {name.lower(): name for name in template.names}
        fitted: dict[tuple[str, str], Parameter] = {}
        for parameter in parameters:
            if parameter.location != "path":
                fitted[parameter.location, parameter.name] = parameter
                continue
            plain = parameter.name.strip("{}+*").partition("=")[0]
            name = plain if plain in template.names else lower.get(plain.lower())
            where = tuple(parameter.pointer.split("#", 1))
            if name is None:
                self._report.add(
                    "warning",
                    "unused-parameter",
                    cast("tuple[str, str]", where),
                    f"the path has no `{shown(parameter.name)}`",
                )
                continue
            reserved = parameter.allow_reserved or name in template.reserved
            fitted["path", name] = replace(parameter, name=name, allow_reserved=reserved)
        for name in template.names:
            fitted.setdefault(("path", name), _undeclared(name, "path", is_reserved=name in template.reserved))
        for name in template.queries:
            fitted.setdefault(("query", name), _undeclared(name, "query", is_reserved=False))
        return tuple(fitted.values())


def _undeclared(name: str, location: Location, *, is_reserved: bool) -> Parameter:
    return Parameter(
        name=name,
        location=location,
        style=_DEFAULT_STYLES[location],
        explode=location == "query",
        required=location == "path",
        schema=Schema({"type": "string"}),
        allow_reserved=is_reserved,
    )


def _collection(collection: str, location: str) -> tuple[Style, bool]:
    """Return what 2.0's `collectionFormat` is in the words of 3.x; `csv` is its default."""
    default = _DEFAULT_STYLES[location]
    if collection == "multi":
        return default, True
    return _COLLECTIONS.get(collection, default), False


def example_of(members: Mapping[str, object]) -> object:
    """Return the first example that an object gives, or ABSENT."""
    if "example" in members:
        return members["example"]
    for example in mapping(members.get("examples")).values():
        written = mapping(example)
        for name in ("dataValue", "value"):
            if name in written:
                return written[name]
    return members.get("x-example", ABSENT)
