"""`agent-gateway mesh` for workflows: what importing, comparing and approving an Arazzo description does."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from rich.console import Console

from agent_gateway.cli.entry_text import CannotAdd, entry_text, with_upstream
from agent_gateway.cli.files import write_private
from agent_gateway.cli.session import Failure, Session, emit
from agent_gateway.config.upstream_arazzo import ArazzoUpstream
from agent_gateway.mesh.compare import Change
from agent_gateway.mesh.flows import MadeFlows, approve_flows, changed_flows, import_flows, make_flows
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.sources import Sources
from agent_gateway.runtime.flow_upstreams import ApprovedApis
from context_mesh.arazzo.binding import Apis
from context_mesh.arazzo.composites import Composite
from context_mesh.openapi.tool import Risk

_EMPTY: Final = ArazzoUpstream(kind="arazzo")


def find_flows(session: Session, name: str) -> ArazzoUpstream | None:
    """Return the entry of workflows under a name, None when it is something else or nothing."""
    found = session.load().config.upstreams.get(name)
    return found if isinstance(found, ArazzoUpstream) else None


def bring_flows_in(session: Session, name: str, source: str, sources: Sources, *, as_json: bool) -> None:
    """Import workflows and write their entry unless there is one; print what they give."""
    loaded = session.load()
    known = loaded.config.upstreams.get(name)
    if known is not None and not isinstance(known, ArazzoUpstream):
        raise Failure(f"`{name}` is an upstream of another kind", exit_code=2)
    config = known or _EMPTY
    apis = ApprovedApis(loaded, config)
    if known is None:
        make_flows(sources, apis, {})
        text = session.config_path.read_text("utf-8")
        is_url = source.startswith(("http://", "https://"))
        entry: dict[str, object] = {"kind": "arazzo", "spec": source if is_url else str(Path(source).absolute())}
        try:
            written = with_upstream(text, name, entry)
        except CannotAdd as error:
            hint = "add this by hand:\n" + entry_text(name, entry)
            raise Failure(f"the file was left alone: {error}", hint=hint) from None
    else:
        written = ""
    kept, made = import_flows(ApiFolder(loaded.base_dir / config.folder_of(name)), sources, apis)
    if written:
        write_private(session.config_path.resolve(), written, keeps_mode=True)
        session.load()
    data = {"ok": True, "name": name, "source": kept, **report(made)}

    def show(console: Console) -> None:
        show_report(console, name, made)
        console.print(f"Nothing of it is served yet: `agent-gateway mesh approve {name} --all` serves all of it.")

    emit(data, as_json=as_json, text=show)


def compare_flows(session: Session, name: str, sources: Sources) -> tuple[str, list[Change]]:
    """Import workflows again; return the import's name, and what an approval of it would change."""
    folder, apis = _place(session, name)
    kept, _ = import_flows(folder, sources, apis)
    return kept, changed_flows(folder, apis)


def approve_flows_of(
    session: Session, name: str, patterns: Sequence[str], *, reads: bool, everything: bool
) -> tuple[list[str], list[str]]:
    """Serve workflows as the latest import has them; return the names of those, and of those withdrawn."""
    folder, apis = _place(session, name)
    gone = [one.tool for one in changed_flows(folder, apis) if one.verdict == "withdraw"] if everything else []
    chosen = approve_flows(folder, apis, _wanted(patterns, reads=reads, everything=everything), withdrawn=gone)
    if not chosen and not gone:
        raise Failure("no workflow of the latest import is meant", hint=f"`agent-gateway mesh diff {name}` lists them")
    return [one.name for one in chosen], sorted(gone)


def flows_of(session: Session, sources: Sources) -> MadeFlows:
    """Return what workflows give with the APIs that are registered; without a configuration none is."""
    apis: Apis = ApprovedApis(session.load(), _EMPTY) if session.config_path.is_file() else {}
    return make_flows(sources, apis, {})


def _place(session: Session, name: str) -> tuple[ApiFolder, ApprovedApis]:
    loaded = session.load()
    config = loaded.config.upstreams[name]
    assert isinstance(config, ArazzoUpstream)
    return ApiFolder(loaded.base_dir / config.folder_of(name)), ApprovedApis(loaded, config)


def _wanted(patterns: Sequence[str], *, reads: bool, everything: bool) -> Callable[[Composite], bool]:
    def is_wanted(one: Composite) -> bool:
        return everything or (reads and one.risk is Risk.READ) or any(fnmatchcase(one.name, of) for of in patterns)

    return is_wanted


def report(made: MadeFlows) -> dict[str, object]:
    """Return what workflows give, for programs."""
    return {
        "title": made.flows.description.title,
        "version": made.flows.description.version,
        "workflows": len(made.flows.description.workflows),
        "tools": [
            {"name": one.name, "risk": one.risk.name.lower(), "description": one.description,
             "calls": [f"{step.source}: {step.tool.operation.key}" for step in one.steps]}
            for one in made.composites
        ],
        "findings": [
            {"severity": one.severity, "code": one.code, "pointer": one.pointer, "reason": one.reason}
            for one in made.findings
        ],
    }  # fmt: skip


def show_report(console: Console, name: str, made: MadeFlows) -> None:
    """Print what workflows give, for people."""
    console.print(f"{name}: {len(made.composites)} workflows, {len(made.findings)} findings", style="bold")
    for one in made.composites:
        console.print(f"  {one.name:<50} {one.risk.name.lower():<9} {len(one.steps)} calls")
    for finding in made.findings:
        console.print(f"  {finding.severity}: {finding.reason} ({finding.pointer})")
