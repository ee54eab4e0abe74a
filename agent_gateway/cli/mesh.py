"""`agent-gateway mesh`: APIs become tools. Find them, import them, look at what changed, approve.

Importing changes nothing that is served; approving does, and a running gateway takes it up by itself.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urljoin

import typer
from rich.console import Console

from agent_gateway.cli import mesh_canary, mesh_proposals
from agent_gateway.cli.entry_text import CannotAdd, entry_text, with_upstream
from agent_gateway.cli.files import read_text, write_private
from agent_gateway.cli.mesh_flows import (
    approve_flows_of,
    bring_flows_in,
    compare_flows,
    find_flows,
    flows_of,
    report,
    show_report,
)
from agent_gateway.cli.session import Failure, JsonOption, Session, emit, session_of
from agent_gateway.config.load import Loaded
from agent_gateway.config.upstream_openapi import OpenApiUpstream
from agent_gateway.mesh.approved import Made, make
from agent_gateway.mesh.compare import Change, changes_of
from agent_gateway.mesh.flows import are_workflows
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.importing import approve, import_api, latest
from agent_gateway.mesh.scan import scan_host, scan_path
from agent_gateway.mesh.sources import Sources, from_path, from_url
from agent_gateway.runtime.books import DataDir
from agent_gateway.stores.proposal_store import ProposalStore
from context_mesh.discovery.proposal import Proposal
from context_mesh.openapi.model import Document
from context_mesh.openapi.tool import Risk, Tool
from context_mesh.wire.address import filled, origin_of

app = typer.Typer(help="APIs become tools: find, import, compare, approve.", no_args_is_help=True)
app.add_typer(mesh_canary.app, name="canary")
app.add_typer(mesh_proposals.app, name="proposals")

_SHOWN_FINDINGS: Final = 20
_SHOWN_TOOLS: Final = 200

Private = Annotated[bool, typer.Option("--allow-private", help="The URL is on a private network.")]


@app.command("import")
def import_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it; its tools become NAME__tool.")],
    source: Annotated[str, typer.Argument(help="Its description: a file, a folder, an archive or a URL.")],
    url: Annotated[str, typer.Option(help="Base URL for calls, when the description's own will not do.")] = "",
    allow_private: Private = False,
    as_json: JsonOption = False,
) -> None:
    """Read a description, keep it beside the configuration, and write the entry. Nothing is served before `approve`.

    Example: `agent-gateway mesh import pets ./openapi.yaml`
    """
    bring_in(session_of(context), name, source, _more(url, allow_private=allow_private), as_json=as_json)


def bring_in(session: Session, name: str, source: str, more: dict[str, object], *, as_json: bool) -> None:
    """Import an API and write its entry unless there is one; print what it gives.

    more  members of the entry: `allow_private`, `auth`, and `url` in place of the description's own
    """
    text = read_text(session.config_path)
    if text is None:
        raise Failure(f"there is no {session.config_path}", hint="`agent-gateway init` writes one")
    known = session.load().config.upstreams.get(name)
    is_private = bool(more.get("allow_private")) or (known is not None and known.allow_private)
    sources = _sources(source, allow_private=is_private)
    if are_workflows(sources):
        bring_flows_in(session, name, source, sources, as_json=as_json)
        return
    if known is not None and not isinstance(known, OpenApiUpstream):
        raise Failure(f"`{name}` is an upstream of another kind", exit_code=2)
    place = f"mesh/{name}" if known is None else known.folder_of(name)
    folder = ApiFolder(session.config_path.absolute().parent / place)
    if known is None:
        document = make(sources, b"", {}).document
        written = _with(text, name, {**_entry(source, document, more), **more})
        imported = import_api(folder, sources)
        write_private(session.config_path.resolve(), written, keeps_mode=True)
        session.load()
    else:
        imported = import_api(folder, sources)
    data = {"ok": True, "name": name, "source": imported.source, **_report(imported.made)}
    emit(data, as_json=as_json, text=lambda console: _show(console, name, imported.made))


def _more(url: str, *, allow_private: bool) -> dict[str, object]:
    return {**({"url": url} if url else {}), **({"allow_private": True} if allow_private else {})}


@app.command("lint")
def lint(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A description: a file, a folder, an archive or a URL.")],
    allow_private: Private = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a description would give: tools, risk, and everything in it that a person should know.

    Example: `agent-gateway mesh lint ./openapi.yaml`
    """
    sources = _sources(source, allow_private=allow_private)
    if are_workflows(sources):
        flows = flows_of(session_of(context), sources)
        emit(report(flows), as_json=as_json, text=lambda console: show_report(console, source, flows))
        return
    made = make(sources, b"", {})
    emit(_report(made), as_json=as_json, text=lambda console: _show_report(console, source, made))


@app.command("scan")
def scan(
    context: typer.Context,
    places: Annotated[list[str], typer.Argument(help="Folders, files, or hosts as URLs.")],
    allow_private: Private = False,
    as_json: JsonOption = False,
) -> None:
    """Find APIs: descriptions, catalogues, manifests, exports, recorded traffic, well-known places. Only proposes.

    Example: `agent-gateway mesh scan . https://pets.example.com`
    """
    found: list[Proposal] = []
    fresh: list[str] | None = [] if (store := _proposals(session_of(context))) is not None else None
    for place in places:
        is_url = place.startswith(("http://", "https://"))
        here = list(asyncio.run(scan_host(place, allow_private=allow_private)) if is_url else scan_path(Path(place)))
        if store is not None and fresh is not None:
            fresh += store.put(here, place if is_url else str(Path(place).absolute()), time.time())
        found += here
    data = [
        {"name": one.name, "found_in": one.found_in, "spec": one.spec, "url": one.url, "title": one.title,
         "owner": one.owner, "lifecycle": one.lifecycle, "notes": list(one.notes)}
        for one in found
    ]  # fmt: skip
    told: dict[str, object] = {"proposals": data, "new": fresh}
    emit(told, as_json=as_json, text=lambda console: _show_proposals(console, found, fresh))


def _proposals(session: Session) -> ProposalStore | None:
    """Return where proposals are kept, None without a configuration."""
    if not session.config_path.is_file():
        return None
    root = session.load().data_dir
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return ProposalStore(DataDir(root).proposals)


@app.command("diff")
def diff(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The upstream.")],
    source: Annotated[str, typer.Option(help="Another description than the one in the configuration.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Read the description again and say what an approval would change. Exit code 1 when something is held.

    Example: `agent-gateway mesh diff pets`
    """
    session = session_of(context)
    flows = find_flows(session, name)
    config, folder = (flows, None) if flows is not None else _api(session, name)
    place = source or config.spec
    if place is None:
        raise Failure(f"`{name}` has no `spec`", hint="name one with --source", exit_code=2)
    sources = _sources(_beside(session, place), allow_private=config.allow_private)
    if folder is None:
        kept, changes = compare_flows(session, name, sources)
    else:
        imported = import_api(folder, sources)
        kept, changes = imported.source, changes_of(folder, imported)
    data: dict[str, object] = {
        "source": kept,
        "changes": [{"tool": one.tool, "verdict": one.verdict, "what": list(one.what)} for one in changes],
    }
    emit(data, as_json=as_json, text=lambda console: _show_changes(console, changes))
    if any(one.verdict in ("hold", "withdraw") for one in changes):
        raise typer.Exit(1)


@app.command("approve")
def approve_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The upstream.")],
    tools: Annotated[
        list[str] | None, typer.Argument(help="Tools, by the API's own names; `*` stands for any text.")
    ] = None,
    reads: Annotated[bool, typer.Option("--reads", help="Every tool that only reads, and not by a guess.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every tool.")] = False,
    safe: Annotated[bool, typer.Option("--unheld", help="Approved tools whose change is not held.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve tools as the latest import has them. Those not named stay as they were.

    Example: `agent-gateway mesh approve pets --reads`
    """
    if not tools and not reads and not everything and not safe:
        raise Failure("which tools?", hint="name them, or give --reads, --unheld or --all", exit_code=2)
    session = session_of(context)
    if find_flows(session, name) is not None:
        served, left = approve_flows_of(session, name, tools or (), reads=reads, everything=everything)
        _show_approved(name, served, left, as_json=as_json)
        return
    _, folder = _api(session, name)
    changes = changes_of(folder, latest(folder))
    unheld = {one.tool for one in changes if one.verdict in ("quiet", "notify")}
    gone = {one.tool for one in changes if one.verdict == "withdraw"}
    wanted = _wanted(tools or (), reads=reads, everything=everything, unheld=unheld if safe else set())
    chosen = approve(folder, wanted, withdrawn=gone if everything else ())
    if not chosen and not (everything and gone):
        raise Failure("no tool of the latest import is meant", hint=f"`agent-gateway mesh diff {name}` lists them")
    _show_approved(name, [tool.name for tool in chosen], sorted(gone) if everything else [], as_json=as_json)


def _show_approved(name: str, approved: list[str], withdrawn: list[str], *, as_json: bool) -> None:
    data: dict[str, object] = {"approved": approved, "withdrawn": withdrawn}
    emit(data, as_json=as_json, text=lambda console: console.print(f"{len(approved)} tools of {name} are approved"))


# --- where things are ------------------------------------------------------------------------


def _sources(source: str, *, allow_private: bool) -> Sources:
    if source.startswith(("http://", "https://")):
        return asyncio.run(from_url(source, allow_private=allow_private))
    path, _, entry = source.partition("#")
    if not Path(path).exists():
        raise Failure(f"there is no {path}", hint="a file, a folder, an archive or a URL", exit_code=2)
    return from_path(Path(path), entry)


def _beside(session: Session, place: str) -> str:
    is_url = place.startswith(("http://", "https://"))
    return place if is_url else str(session.config_path.absolute().parent / place)


def _api(session: Session, name: str) -> tuple[OpenApiUpstream, ApiFolder]:
    loaded: Loaded = session.load()
    config = loaded.config.upstreams.get(name)
    if not isinstance(config, OpenApiUpstream):
        raise Failure(
            f"no API is called `{name}`", hint="`agent-gateway mesh import NAME SOURCE` adds one", exit_code=2
        )
    return config, ApiFolder(loaded.base_dir / config.folder_of(name))


def base_url(document: Document, source: str) -> str:
    """Return the first server of a description that is a URL; raises `Failure` when it has none."""
    base = source if source.startswith(("http://", "https://")) else ""
    for server in document.servers:
        try:
            found = urljoin(base, filled(server, {})).rstrip("/")
        except ValueError:
            continue
        if origin_of(found)[1]:
            return found
    if base and not document.servers:
        return urljoin(base, "/").rstrip("/")
    raise Failure("the description names no server to call", hint="give the base URL with --url", exit_code=2)


def _entry(source: str, document: Document, more: Mapping[str, object]) -> dict[str, object]:
    is_url = source.startswith(("http://", "https://"))
    url = more["url"] if "url" in more else base_url(document, source)
    return {"kind": "openapi", "url": url, "spec": source if is_url else str(Path(source).absolute())}


def _with(text: str, name: str, entry: dict[str, object]) -> str:
    try:
        return with_upstream(text, name, entry)
    except CannotAdd as error:
        hint = "add this by hand:\n" + entry_text(name, entry)
        raise Failure(f"the file was left alone: {error}", hint=hint) from None


def _wanted(patterns: Sequence[str], *, reads: bool, everything: bool, unheld: set[str]) -> Callable[[Tool], bool]:
    def is_wanted(tool: Tool) -> bool:
        is_named = any(fnmatchcase(tool.name, pattern) for pattern in patterns)
        is_read = tool.risk is Risk.READ and not tool.annotations.is_guess
        return everything or is_named or (reads and is_read) or tool.name in unheld

    return is_wanted


# --- what people see -------------------------------------------------------------------------


def _report(made: Made) -> dict[str, object]:
    tools, document = made.toolbox.tools, made.document
    return {
        "title": document.title,
        "version": document.version,
        "operations": document.declared,
        "tools": [
            {"name": one.name, "risk": one.risk.name.lower(), "risk_is_guess": one.annotations.is_guess,
             "request": one.operation.key, "description": one.description, "toolsets": list(one.toolsets)}
            for one in tools
        ],
        "schemes": {name: _scheme_words(document, name) for name in document.schemes},
        "findings": [
            {"severity": one.severity, "code": one.code, "pointer": one.pointer, "reason": one.reason}
            for one in made.toolbox.findings
        ],
    }  # fmt: skip


def _show(console: Console, name: str, made: Made) -> None:
    _show_report(console, name, made)
    console.print(
        f"Nothing of it is served yet: `agent-gateway mesh approve {name} --reads` begins with what only reads."
    )


def _show_report(console: Console, name: str, made: Made) -> None:
    tools, findings = made.toolbox.tools, made.toolbox.findings
    console.print(
        f"{name}: {made.document.declared} operations, {len(tools)} tools, {len(findings)} findings", style="bold"
    )
    counts = Counter(tool.risk for tool in tools)
    console.print("  " + ", ".join(f"{counts[risk]} {word}" for risk, word in _WORDS.items()))
    for tool in tools[:_SHOWN_TOOLS]:
        word = _WORDS[tool.risk] + ("?" if tool.annotations.is_guess else "")
        console.print(f"  {tool.name:<50} {word:<9} {tool.operation.key[:60]}")
    if len(tools) > _SHOWN_TOOLS:
        console.print(f"  … and {len(tools) - _SHOWN_TOOLS} more")
    if guesses := sum(tool.annotations.is_guess for tool in tools):
        told = f"  `?`: a guess ({guesses} of them); approve such a tool by name, or grade it in the curation file"
        console.print(told)
    for scheme in made.document.schemes:
        console.print(f"  wants `{scheme}`: {_scheme_words(made.document, scheme)}; put it under `schemes`")
    for finding in findings[:_SHOWN_FINDINGS]:
        console.print(f"  {finding.severity}: {finding.reason} ({finding.pointer})")
    if len(findings) > _SHOWN_FINDINGS:
        console.print(f"  … and {len(findings) - _SHOWN_FINDINGS} more findings, with --json")


_WORDS: Final = {Risk.READ: "reads", Risk.CREATE: "creates", Risk.WRITE: "writes", Risk.DESTROY: "destroys"}


def _scheme_words(document: Document, name: str) -> str:
    scheme = document.schemes[name]
    if scheme.kind == "apiKey":
        return f"a key in the {scheme.location} `{scheme.parameter}`"
    return f"http {scheme.scheme}" if scheme.kind == "http" else scheme.kind


def _show_proposals(console: Console, found: Sequence[Proposal], fresh: Sequence[str] | None) -> None:
    for one in found:
        console.print(f"{one.name}  ({one.found_in}) {one.spec or 'no description'}", style="bold")
        console.print(f"  owner {one.owner or 'unknown'}" + (f", {one.lifecycle}" if one.lifecycle else ""))
        for note in one.notes:
            console.print(f"  note: {note}")
    if fresh is None:
        console.print(f"{len(found)} proposals, kept nowhere: there is no configuration here.")
    else:
        console.print(f"{len(found)} proposals, {len(fresh)} new or changed: `agent-gateway mesh proposals ls`")


def _show_changes(console: Console, changes: Sequence[Change]) -> None:
    for one in changes:
        console.print(f"{one.verdict:<9} {one.tool}: {'; '.join(one.what)}")
    held = sum(one.verdict == "hold" for one in changes)
    console.print(f"{len(changes)} changes, {held} held: those tools go on being served as they were approved")
