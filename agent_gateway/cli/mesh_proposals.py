"""`agent-gateway mesh proposals`: what scans found, and your word on it. Nothing here imports or serves anything."""

from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import TypeAdapter
from rich.console import Console

from agent_gateway.admin.models import ProposalJudged, ProposalShown
from agent_gateway.cli.asking import Running, source_of
from agent_gateway.cli.session import Failure, JsonOption, Session, emit, session_of
from agent_gateway.runtime.books import DataDir
from agent_gateway.stores.proposal_store import ProposalStore, Stored

app = typer.Typer(help="See and judge the APIs that scans found.", no_args_is_help=True)

DRAFTS: Final = "mesh/drafts"  # beside the configuration
_SHOWN: Final = TypeAdapter(ProposalShown)

NameArgument = Annotated[str, typer.Argument(help="The proposal, as `ls` shows it.")]
DigestOption = Annotated[str, typer.Option("--digest", help="The one you looked at. Default: the kept one.")]


@app.command("ls")
def ls(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those that were judged, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the proposals that wait for a word.

    Example: `agent-gateway mesh proposals ls --all`
    """
    found = [one for one in _store(session_of(context)).all() if everything or one.state == "pending"]
    data: dict[str, object] = {"proposals": [_told(one) for one in found]}
    emit(data, as_json=as_json, text=lambda console: _write(console, found))


@app.command("approve")
def approve(context: typer.Context, name: NameArgument, digest: DigestOption = "", as_json: JsonOption = False) -> None:
    """Approve a proposal: say that it may be imported. A draft that it holds is written beside the configuration.

    Example: `agent-gateway mesh proposals approve pets`
    """
    session = session_of(context)
    kept = _judged(session, name, digest, "approved")
    source = kept.spec
    if kept.draft:
        file = session.config_path.absolute().parent / DRAFTS / f"{kept.name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(kept.draft)
        source = str(file)
    elif source and "://" not in source and kept.found_in in ("file", "backstage"):
        source = str(Path(kept.scanned) / source) if Path(kept.scanned).is_dir() else kept.scanned

    def write(console: Console) -> None:
        console.print(f"approved: {kept.name}")
        if source:
            console.print(f"`agent-gateway mesh import {kept.name} {source}` takes it in; nothing is served before.")
        else:
            console.print("It has no description: somebody has to write one.")

    emit({"approved": kept.name, "source": source, "digest": kept.digest}, as_json=as_json, text=write)


@app.command("reject")
def reject(context: typer.Context, name: NameArgument, digest: DigestOption = "", as_json: JsonOption = False) -> None:
    """Reject a proposal: it is not proposed again unless it changes.

    Example: `agent-gateway mesh proposals reject pets`
    """
    kept = _judged(session_of(context), name, digest, "rejected")
    data: dict[str, object] = {"rejected": kept.name, "digest": kept.digest}
    emit(data, as_json=as_json, text=lambda console: console.print(f"rejected: {kept.name}"))


def _judged(session: Session, name: str, digest: str, verdict: str) -> Stored:
    """Have the running gateway note a verdict: it writes the record of it, too."""
    kept = next((one for one in _store(session).all() if one.name == name), None)
    if kept is None:
        raise Failure(f"there is no proposal `{name}`", hint="`agent-gateway mesh proposals ls` lists them")
    source = source_of(session.load(needs_secrets=True))
    if not isinstance(source, Running):
        raise Failure("no gateway is running", hint="start it with `agent-gateway up`: it records who approved what")
    said = ProposalJudged.model_validate({"name": name, "digest": digest or kept.digest, "verdict": verdict})
    source.ask("POST", "/v1/proposals", _SHOWN, said.model_dump_json().encode())
    return kept


def _store(session: Session) -> ProposalStore:
    root = session.load().data_dir
    if not root.is_dir():
        raise Failure("nothing was ever found", hint="`agent-gateway mesh scan PLACE` looks for APIs")
    return ProposalStore(DataDir(root).proposals)


def _told(one: Stored) -> dict[str, object]:
    return {
        "name": one.name, "state": one.state, "found_in": one.found_in, "spec": one.spec, "url": one.url,
        "title": one.title, "owner": one.owner, "lifecycle": one.lifecycle, "risk": one.risk, "notes": list(one.notes),
        "scanned": one.scanned, "seen_at": one.seen_at, "by": one.by, "digest": one.digest,
        "has_draft": bool(one.draft),
    }  # fmt: skip


def _write(console: Console, found: list[Stored]) -> None:
    for one in found:
        console.print(f"{one.name}  ({one.found_in}) {one.spec or one.url or 'no description'}", style="bold")
        said = f", {one.state} by {one.by}" if one.by else ""
        console.print(f"  owner {one.owner or 'unknown'}, risk {one.risk or 'unknown'}{said}, from {one.scanned}")
        for note in one.notes:
            console.print(f"  note: {note}")
    if not found:
        console.print("no proposal waits")
