"""Operations of a description, one by one: one that cannot be read is a finding and costs the others nothing."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from context_mesh.openapi.bodies import BodyReader, read_kinds
from context_mesh.openapi.files import BrokenReference, Files, Place, escape, reference_of, shown
from context_mesh.openapi.hints import over, read_hints
from context_mesh.openapi.members import array, flag, mapping, text, texts
from context_mesh.openapi.model import Hints, Operation, SecurityScheme, Server
from context_mesh.openapi.parameters import ParameterReader, read_template
from context_mesh.openapi.report import Report
from context_mesh.openapi.security import Security, read_security
from context_mesh.openapi.servers import read_servers

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
MAX_PATH_CHARS: Final = 2_000

_METHOD: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")
_UNSAFE_PATH: Final = re.compile(r"[\x00-\x20\x7f\\]")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NOT_METHODS: Final = frozenset({"summary", "description", "servers", "parameters", "additionalOperations", "$ref"})


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for every operation that does not say otherwise."""

    root: Mapping[str, object]
    schemes: Mapping[str, SecurityScheme]
    security: Security
    servers: tuple[Server, ...]
    hints: Hints


@dataclass(frozen=True, slots=True)
class _Found:
    """An operation where it stands. `item` is its path's own place."""

    path: str
    method: str
    item: Place
    place: Place

    @property
    def where(self) -> tuple[str, str]:
        return (self.place.file, self.place.pointer)


class OperationReader:
    """Reads the operations below `paths`.

    `declared` counts all that were found, those left out included.
    """

    def __init__(self, files: Files, defaults: Defaults, report: Report) -> None:
        self._files = files
        self._defaults = defaults
        self._report = report
        self._parameters = ParameterReader(files, defaults.schemes, report)
        self._bodies = BodyReader(files, defaults.schemes, report)
        self.declared = 0

    def read(self, paths: Place) -> tuple[Operation, ...]:
        """Return every operation that can be called, in the order of its writing."""
        limit = self._files.limits.max_operations
        found: list[Operation] = []
        for operation in self._found(paths):
            self.declared += 1
            problem = _path_problem(operation.path)
            if len(found) == limit:
                problem = f"the description has more than {limit} operations"
            if problem:
                self._report.add("error", "operation-skipped", operation.where, f"{_title(operation)}: {problem}")
            else:
                found.append(self._operation(operation))
        return tuple(found)

    def _found(self, paths: Place) -> Iterator[_Found]:
        for path, written in mapping(paths.value).items():
            if path.startswith("x-"):
                continue
            where = (paths.file, f"{paths.pointer}/{escape(path)}")
            try:
                item = self._item(written, where)
            except BrokenReference as error:
                self._report.add("error", "path-skipped", where, f"`{shown(path)}`: {error.reason}")
                continue
            yield from self._methods(path, item)

    def _item(self, written: object, where: tuple[str, str]) -> Place:
        """Return a path's item; members beside its `$ref` add to what that names."""
        place = self._files.follow(written, *where)
        value = place.value
        if not isinstance(value, dict):
            raise BrokenReference("the path holds no operations")
        beside = {name: item for name, item in mapping(written).items() if name != "$ref"}
        if reference_of(written) is None or not beside:
            return place
        return Place(place.file, place.pointer, {**mapping(place.value), **beside})

    def _methods(self, path: str, item: Place) -> Iterator[_Found]:
        members = mapping(item.value)
        more = mapping(members.get("additionalOperations"))
        named = [(name, value, escape(name)) for name, value in members.items()]
        named += [(name, value, f"additionalOperations/{escape(name)}") for name, value in more.items()]
        for name, written, token in named:
            is_more = "/" in token
            if name.startswith("x-") or (name in _NOT_METHODS and not is_more):
                continue
            where = (item.file, f"{item.pointer}/{token}")
            if (name.lower() not in METHODS and not is_more) or not _METHOD.fullmatch(name):
                self._report.add("note", "not-a-method", where, f"`{shown(name)}` is no method and was not read")
                continue
            try:
                place = self._files.follow(written, *where)
            except BrokenReference as error:
                place = Place(*where, None)
                self._report.broken(error, where)
            if isinstance(place.value, dict):
                yield _Found(path, name.upper(), item, place)
            else:
                self.declared += 1
                reason = f"{name.upper()} {shown(path)}: the operation is no object"
                self._report.add("error", "operation-skipped", where, reason)

    def _operation(self, found: _Found) -> Operation:
        members, item = mapping(found.place.value), mapping(found.item.value)
        defaults = self._defaults
        template = read_template(found.path)
        parameters = self._parameters.read([*_listed(found.item), *_listed(found.place)], template)
        kinds = read_kinds(members, defaults.root)
        own = read_servers(members.get("servers")) or read_servers(item.get("servers"))
        security = (
            read_security(members["security"], defaults.schemes, found.where, self._report)
            if "security" in members
            else defaults.security
        )
        return Operation(
            key=f"{found.method} {found.path}",
            operation_id=text(members.get("operationId")),
            method=found.method,
            path=template.path,
            pointer=str(found.place),
            query=template.query,
            fragment=template.fragment,
            summary=text(members.get("summary")) or text(item.get("summary")),
            description=text(members.get("description")) or text(item.get("description")),
            tags=texts(members.get("tags")),
            parameters=parameters.travelling,
            body=self._bodies.request(found.place, parameters, kinds),
            responses=self._bodies.responses(found.place, kinds),
            security=security,
            servers=own or defaults.servers,
            has_own_servers=bool(own),
            deprecated=flag(members.get("deprecated")),
            hints=over(over(read_hints(members), read_hints(item)), defaults.hints),
        )


def _listed(place: Place) -> list[Place]:
    items = array(mapping(place.value).get("parameters"))
    return [Place(place.file, f"{place.pointer}/parameters/{index}", item) for index, item in enumerate(items)]


def _title(found: _Found) -> str:
    return f"{found.method} {shown(found.path)}"


def _path_problem(path: str) -> str:
    """Return why a path cannot be sent, or an empty string."""
    if len(path) > MAX_PATH_CHARS:
        return f"the path has more than {MAX_PATH_CHARS} characters"
    if _UNSAFE_PATH.search(path):
        return "the path holds a space, a control character or a backslash"
    if _SCHEME.match(path):
        return "the path is an address of its own"
    if any(segment in ("..", ".") or segment.lower() in ("%2e%2e", "%2e") for segment in path.split("/")):
        return "the path leaves the server's own path"
    return ""
