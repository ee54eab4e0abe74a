"""The report of the mesh: what becomes of real descriptions, one line each, and whether every promise held.

`python demos/mesh_report.py [FOLDER …]` reads every description below the folders (or those of the environment
variable `MESH_CORPUS`, separated by `:`; else the small ones of `tests/specs`), also from `.gz` and `.tar.gz`.
Each is read in a process of its own: seconds (of CPU) and peak memory are its own. Exit 1 when a promise broke.
"""

import gzip
import io
import multiprocessing
import os
import resource
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import jsonschema_rs
import orjson

from context_mesh.openapi.load import load
from context_mesh.openapi.members import array, mapping
from context_mesh.openapi.model import Document
from context_mesh.openapi.tool import Tool
from context_mesh.openapi.tools import Toolbox, make_tools
from gateway_policies.refusal import BadRequest

SMALL = Path(__file__).resolve().parents[1] / "tests" / "specs"
SUFFIXES = (".json", ".yaml", ".yml", ".json.gz", ".yaml.gz", ".yml.gz", ".tar.gz")
PARTS = frozenset({"not_a_description"})  # a file of another description, or of another kind
HEAD_BYTES = 4_000

MIN_SHARE = 0.995  # of operations that become tools
MAX_TOOL_NAME_CHARS = 64
GITHUB = ("GitHub v3 REST API", 2.0, 150.0)  # title, seconds, MB
FASTMCP_BYTES: Mapping[tuple[str, int], int] = {
    ("GitHub v3 REST API", 1223): 11_700_000,
    ("OpenAI API", 288): 7_000_000,
}
"""Bytes of `tools/list` that fastmcp 4.1.2 makes of the same description (title and operations), measured once."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one description. `broken`: promises that it broke, in words."""

    name: str
    title: str = ""
    version: str = ""
    operations: int = 0
    tools: int = 0
    findings: Mapping[str, int] = field(default_factory=dict[str, int])
    before_bytes: int = 0
    after_bytes: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0
    refused: str = ""
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One description: its bytes and the files beside it."""

    name: str
    entry: str
    files: Mapping[str, bytes] | Path

    def read(self, path: str) -> bytes | None:
        if isinstance(self.files, Path):
            try:
                return opened(self.files / path)
            except OSError:
                return None
        return self.files.get(path)


def opened(path: Path) -> bytes:
    body = path.read_bytes()
    return gzip.decompress(body) if path.suffix == ".gz" else body


def sources(folder: Path) -> Iterator[Source]:
    """Yield what may be a description below a folder: files that name a version, and archives' entries that do."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not path.name.endswith(SUFFIXES):
            continue
        name = path.relative_to(folder).as_posix()
        if path.name.endswith(".tar.gz"):
            yield from archived(name, path)
        elif looks_whole(opened(path)):
            yield Source(name, path.name, path.parent)


def archived(name: str, path: Path) -> Iterator[Source]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(path.read_bytes()))) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        files = {
            member.name.removeprefix("./"): file.read() for member in members if (file := archive.extractfile(member))
        }
    for entry, body in files.items():
        if entry.endswith((".json", ".yaml", ".yml")) and looks_whole(body):
            yield Source(f"{name}:{entry}", entry, files)


def looks_whole(body: bytes) -> bool:
    """Say whether a file is meant to be a description, whatever else is wrong with it."""
    head, tail = body[:HEAD_BYTES], body[-HEAD_BYTES:]
    return any(word in head or word in tail for word in (b"openapi:", b'"openapi"', b"swagger:", b'"swagger"'))


def measure(source: Source) -> Row:
    """Return the row of one description, made twice to see that the second one has the same bytes."""
    body = source.read(source.entry) or b""
    started = time.process_time()
    try:
        document = load(body, name=source.entry, read=source.read)
    except BadRequest as error:
        return Row(source.name, refused=error.message if error.code not in PARTS else "", before_bytes=len(body))
    toolbox = make_tools(document)
    listed = orjson.dumps([tool.definition() for tool in toolbox.tools])
    seconds = time.process_time() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    again = make_tools(load(body, name=source.entry, read=source.read))
    broken = [*promises(document, toolbox, listed, seconds, peak_mb)]
    if orjson.dumps([tool.definition() for tool in again.tools]) != listed:
        broken.append("a second run gives other bytes")
    return Row(
        name=source.name,
        title=document.title,
        version=document.version,
        operations=document.declared,
        tools=len(toolbox.tools),
        findings=Counter(finding.code for finding in toolbox.findings),
        before_bytes=len(body),
        after_bytes=len(listed),
        seconds=seconds,
        peak_mb=peak_mb,
        broken=tuple(broken),
    )


def promises(document: Document, toolbox: Toolbox, listed: bytes, seconds: float, peak_mb: float) -> Iterator[str]:
    """Yield every promise that a description's tools break."""
    if document.declared and len(toolbox.tools) < MIN_SHARE * document.declared - 1:
        yield f"{document.declared - len(toolbox.tools)} of {document.declared} operations are no tools"
    skipped = sum(finding.code in ("operation-skipped", "operation-excluded") for finding in toolbox.findings)
    if len(toolbox.tools) + skipped < document.declared:
        yield "an operation was left out without a finding"
    names = [tool.name for tool in toolbox.tools]
    if len(set(names)) < len(names):
        yield "two tools have one name"
    for tool in toolbox.tools:
        yield from (f"{tool.name}: {problem}" for problem in problems_of(tool))
    title, limit_s, limit_mb = GITHUB
    if document.title == title and (seconds > limit_s or peak_mb > limit_mb):
        yield f"took {seconds:.1f} s and {peak_mb:.0f} MB"
    reference = FASTMCP_BYTES.get((document.title, len(names)))
    if reference and len(listed) * 5 > reference:
        yield f"the list has {len(listed)} bytes, fastmcp's {reference}"


def problems_of(tool: Tool) -> Iterator[str]:
    if not 0 < len(tool.name) <= MAX_TOOL_NAME_CHARS or not tool.name.replace("_", "a").replace("-", "a").isalnum():
        yield "the name is no name for every model API"
    if not tool.description:
        yield "there is no description"
    for schema in (tool.full_schema, tool.input_schema, tool.output_schema):
        if schema is None:
            continue
        if schema.get("type") != "object":
            yield "a schema is not an object's"
        if not METASCHEMA.is_valid(schema):
            yield "a schema is not valid"
        definitions = mapping(schema.get("$defs"))
        for reference in references(schema):
            if reference.removeprefix("#/$defs/") not in definitions:
                yield f"`{reference}` dangles"
        try:
            jsonschema_rs.validator_for(dict(schema))
        except ValueError as error:
            yield f"a schema does not compile: {str(error)[:100]}"
    yield from visible_credentials(tool)


def visible_credentials(tool: Tool) -> Iterator[str]:
    """Yield arguments that a security scheme of the operation, or HTTP, has for its own."""
    schemes = {
        (need.scheme.location, need.scheme.parameter.lower())
        for needs in tool.operation.security
        for need in needs
        if need.scheme.parameter
    }
    for argument in tool.arguments:
        parameter = argument.parameter
        if parameter is None:
            continue
        key = (parameter.location, parameter.name.lower())
        if key in schemes or key == ("header", "authorization"):
            yield f"`{argument.name}` carries a credential"


def references(value: object) -> Iterator[str]:
    """Yield every `$ref` of a schema; what enumerations and examples hold is data."""
    for item in array(value):
        yield from references(item)
    for name, item in mapping(value).items():
        if name == "$ref" and isinstance(item, str):
            yield item
        elif name in ("properties", "$defs", "patternProperties", "dependentSchemas"):
            for part in mapping(item).values():
                yield from references(part)
        elif name not in ("enum", "const", "default", "examples"):
            yield from references(item)


METASCHEMA = jsonschema_rs.validator_for({"$ref": "https://json-schema.org/draft/2020-12/schema"})


def said(row: Row) -> str:
    findings = " ".join(f"{code}:{count}" for code, count in sorted(row.findings.items()))
    return (
        f"{row.name[-44:]:<44} {row.version:>6} {row.operations:>6} {row.tools:>6} {row.before_bytes / 1000:>9.1f}"
        f" {row.after_bytes / 1000:>9.1f} {row.seconds:>6.2f} {row.peak_mb:>6.0f}  {findings}"
    ).rstrip()


def report(folders: Sequence[Path]) -> int:
    """Print the table and what broke; return the exit code."""
    print(
        f"{'description':<44} {'':>6} {'ops':>6} {'tools':>6} {'kB in':>9} {'kB list':>9} {'s':>6} {'MB':>6}  findings"
    )
    rows: list[Row] = []
    refused: list[str] = []
    found = [source for folder in folders for source in sources(folder)]
    context = multiprocessing.get_context("fork")
    for source in found:
        with context.Pool(1) as pool:  # a process of its own, and gone after it
            row = pool.apply(partial(measure, source))
        if row.refused:
            refused.append(f"{row.name}: {row.refused}")
        elif row.version or row.tools:
            rows.append(row)
            print(said(row), flush=True)
    operations, tools = sum(row.operations for row in rows), sum(row.tools for row in rows)
    share = tools / operations if operations else 1.0
    broken = [f"{row.name}: {problem}" for row in rows for problem in row.broken]
    if share < MIN_SHARE:
        broken.append(f"only {share:.2%} of operations are tools")
    if not rows:
        broken.append("there is no description")
    print(f"\n{len(rows)} descriptions, {operations} operations, {tools} tools ({share:.2%}),", end=" ")
    print(f"{sum(row.after_bytes for row in rows) / 1e6:.1f} MB of tools/list, {len(refused)} refused")
    print("".join(f"refused: {line}\n" for line in refused), end="")
    print("".join(f"broken: {line}\n" for line in broken), end="")
    return 1 if broken else 0


def main() -> int:
    given = sys.argv[1:] or [part for part in os.environ.get("MESH_CORPUS", "").split(":") if part]
    return report([Path(part) for part in given] or [SMALL])


if __name__ == "__main__":
    sys.exit(main())
