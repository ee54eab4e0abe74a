"""Load a description: bytes in, a `Document` out, whatever a strict validator would say of it.

Refused is only what is no description at all, or too large for its limits. Everything else that is wrong
becomes a finding with its pointer and reason, and costs no more than the part that it is in.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from context_mesh.openapi.files import BrokenReference, Files, Place, Read, shown
from context_mesh.openapi.hints import read_hints
from context_mesh.openapi.limits import Limits
from context_mesh.openapi.members import array, mapping, text
from context_mesh.openapi.model import Document, Tag
from context_mesh.openapi.operations import METHODS, Defaults, OperationReader
from context_mesh.openapi.overlay import apply
from context_mesh.openapi.report import Report
from context_mesh.openapi.security import read_schemes, read_security
from context_mesh.openapi.servers import read_host, read_servers
from context_mesh.openapi.yaml_values import unreadable
from gateway_policies.refusal import BadRequest

Dialect = Literal["2.0", "3.0", "3.1"]

_OTHERS: Final = {"asyncapi": "AsyncAPI", "arazzo": "Arazzo", "overlay": "Overlay", "swaggerVersion": "Swagger 1.x"}


def load(
    entry: bytes,
    *,
    name: str = "",
    read: Read | None = None,
    overlays: Sequence[bytes] = (),
    limits: Limits | None = None,
) -> Document:
    """Return a description as a `Document`.

    entry     the description's own bytes, JSON or YAML
    name      its path below the root that `read` knows; references start from there
    read      gives another local file's bytes by its normalised path below the root, None when there is none
    overlays  Overlay 1.x documents, applied in order to the entry file

    Raises `BadRequest`: `unreadable_description` (with line and column where that is known),
    `not_a_description`, `description_too_large`.
    """
    limits = limits or Limits()
    report = Report(limits)
    files = Files(entry, name=name, read=read, limits=limits)
    for index, overlay in enumerate(overlays):
        files.values[""] = apply(overlay, files.values[""], f"overlay-{index + 1}", report)
    root = mapping(files.values[""])
    version, dialect = _version(root, name, report)
    schemes = read_schemes(root, files, report)
    defaults = Defaults(
        root=root,
        schemes=schemes,
        security=read_security(root.get("security"), schemes, ("", "/security"), report),
        servers=read_host(root) if dialect == "2.0" else read_servers(root.get("servers")),
        hints=read_hints(root),
    )
    reader = OperationReader(files, defaults, report)
    operations = reader.read(_paths(root, files, report))
    info = mapping(root.get("info"))
    return Document(
        version=version,
        dialect=dialect,
        title=text(info.get("title")),
        api_version=text(info.get("version")),
        operations=operations,
        findings=report.findings(),
        files=files,
        description=text(info.get("description")),
        servers=defaults.servers,
        schemes=schemes,
        tags=tuple(_tag(mapping(tag)) for tag in array(root.get("tags")) if text(mapping(tag).get("name"))),
        declared=reader.declared,
    )


def _version(root: Mapping[str, object], name: str, report: Report) -> tuple[str, Dialect]:
    """Return the version as written, and how schemas are to be read."""
    for member in ("openapi", "swagger"):
        version = text(root.get(member)).strip()
        if version.startswith("2"):
            return version, "2.0"
        if version.startswith("3.0") or version == "3":
            return version, "3.0"
        if version:
            if not version.startswith("3."):
                report.add("warning", "unknown-version", ("", f"/{member}"), f"version `{shown(version)}` is not known")
            return version, "3.1"
    for member, kind in _OTHERS.items():
        if member in root:
            raise _not_a_description(name, f"it is {kind}")
    if not isinstance(root.get("paths"), dict):
        raise _not_a_description(name, "it has neither a version nor paths")
    report.add("warning", "no-version", ("", ""), "no version is given; it was read as OpenAPI 3.0")
    return "", "3.0"


def _not_a_description(name: str, why: str) -> BadRequest:
    return unreadable(name, f"{why}, and no OpenAPI description", code="not_a_description")


def _paths(root: Mapping[str, object], files: Files, report: Report) -> Place:
    written = root.get("paths")
    where = ("", "/paths")
    try:
        place = files.follow(written, *where)
    except BrokenReference as error:
        report.broken(error, where)
        place = Place(*where, None)
    if not mapping(place.value):
        report.add("warning", "no-paths", where, "the description has no paths, so it gives no tools")
    _note_what_is_not_offered(root, report)
    return place


def _note_what_is_not_offered(root: Mapping[str, object], report: Report) -> None:
    for member in ("webhooks", "x-webhooks"):
        for name, item in mapping(root.get(member)).items():
            count = sum(method in METHODS for method in mapping(item))
            if count:
                reason = f"the webhook `{shown(name)}` is what the API sends, not what it can be asked"
                report.add("note", "webhook", ("", f"/{member}/{name}"), reason)


def _tag(written: Mapping[str, object]) -> Tag:
    return Tag(text(written.get("name")), text(written.get("description")), text(written.get("parent")))
