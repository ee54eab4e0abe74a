"""`agent-gateway audit`: follow, show, verify, prove and export the log, from its files alone.

Nothing here asks the gateway: an auditor may hold the data directory and no more.
"""

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, cast

import typer
from rich.console import Console

from agent_gateway.audit.export import Format
from agent_gateway.audit.export import export as export_lines
from agent_gateway.audit.prove import prove as prove_call
from agent_gateway.audit.prove import prove_growth
from agent_gateway.audit.reader import Criteria, Entry, checkpoints, find, follow, log_paths
from agent_gateway.audit.rotation import vkeys
from agent_gateway.audit.verify import Report
from agent_gateway.audit.verify import verify as verify_target
from agent_gateway.cli.files import write_private
from agent_gateway.cli.local import data_dir
from agent_gateway.cli.session import Failure, JsonOption, Session, emit, session_of, stdout
from agent_gateway.identity.operators import LOCAL_SUBJECT
from agent_gateway.runtime.books import rotate_audit_key

POLL_EVERY_S: Final = 0.3
MAX_LAST: Final = 10_000
_FORMATS: Final[Mapping[str, Format]] = {"jsonl": "bundle", "ocsf": "ocsf", "cloudevents": "cloudevents"}

app = typer.Typer(help="Follow, show, verify, prove and export the audit log.", no_args_is_help=True)

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead.")]
Call = Annotated[str, typer.Argument(help="The call's id.")]


@app.command("tail")
def tail(  # typer makes each option a parameter
    context: typer.Context,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Go on as records come.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, max=MAX_LAST, help="How many to begin with.")] = 20,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only of this tool.")] = None,
    denied: Annotated[bool, typer.Option("--denied", help="Only calls that were forbidden.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the last records, and follow what comes.

    Example: `agent-gateway audit tail -f --denied`
    """
    directory = _directory(session_of(context))
    criteria = Criteria(agent=agent, capability=tool, effect="forbid" if denied else None)
    pause = threading.Event()
    with _readable():
        for entry in follow(directory, lambda: following and not pause.wait(POLL_EVERY_S), criteria, last):
            _print_entry(entry, as_json=as_json)


@app.command("show")
def show(context: typer.Context, call: Call, as_json: JsonOption = False) -> None:
    """Show all that is recorded of one call.

    Example: `agent-gateway audit show 01a2b3c4d5e6f708192a3b4c5d6e7f80`
    """
    with _readable():
        history = find(_directory(session_of(context)), call)
    if history is None:
        raise Failure(f"no call `{call}` is recorded here")
    found = [history.decision] if history.outcome is None else [history.decision, history.outcome]
    data: dict[str, object] = {
        "call": call,
        "records": [{"log": entry.log, "index": entry.index, "record": entry.record} for entry in found],
    }

    def write(console: Console) -> None:
        for entry in found:
            console.print(f"log {entry.log}, record {entry.index}", style="bold")
            for name, value in entry.record.items():
                console.print(f"  {name:<11} {value if isinstance(value, str) else json.dumps(value)}")

    emit(data, as_json=as_json, text=write)


@app.command("verify")
def verify(
    context: typer.Context,
    target: Annotated[Path | None, typer.Argument(help="A log, an export or a receipt. Default: every log.")] = None,
    checkpoint: Annotated[list[Path] | None, typer.Option(help="A checkpoint that was kept elsewhere.")] = None,
    vkey: Annotated[list[str] | None, typer.Option(help="The public key. Default: that of the data directory.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hash every record again and hold it to the signed checkpoints. Exit code 1 when something does not hold.

    Example: `agent-gateway audit verify receipt.json`
    """
    session = session_of(context)
    kept = [_text(path) for path in checkpoint or ()]
    with _readable():
        try:
            # Of our own logs the key of today tells which came before. A key that was retired, perhaps because it
            # was stolen, must not speak for a log that knows of no change.
            keys = vkey or (own_vkeys(session) if target else own_vkeys(session)[:1])
            report = verify_target(target or _directory(session), keys, kept)
        except ValueError as error:
            raise Failure(f"cannot verify: {error}", exit_code=2) from None
    data: dict[str, object] = {"ok": report.is_ok, **asdict(report)}
    emit(data, as_json=as_json, text=lambda console: _write_report(console, report, is_own_key=not vkey))
    if not report.is_ok:
        raise typer.Exit(1)


@app.command("prove")
def prove(
    context: typer.Context,
    call: Annotated[str, typer.Argument(help="The call's id.")] = "",
    since: Annotated[Path | None, typer.Option(help="Instead: a checkpoint that was kept elsewhere.")] = None,
    out: Out = None,
    as_json: JsonOption = False,
) -> None:
    """Make the receipt of a call; or, with a checkpoint that was kept, the proof that its log has only grown since.

    A receipt holds the call's records and the proof that the signed log holds them. `audit verify` checks both.

    Example: `agent-gateway audit prove 01a2b3c4d5e6f708192a3b4c5d6e7f80 --out receipt.json`
    """
    if bool(call) == (since is not None):
        raise Failure("give a call, or `--since` with a checkpoint", exit_code=2)
    with _readable():
        directory = _directory(session_of(context))
        receipt = prove_call(directory, call) if since is None else prove_growth(directory, _text(since))
    text = json.dumps(receipt, indent=2, ensure_ascii=False) + "\n"
    if out is None:
        sys.stdout.write(text)
        return
    write_private(out, text)
    data: dict[str, object] = {"ok": True, "file": str(out)}
    emit(data, as_json=as_json, text=lambda console: console.print(f"wrote {out}; `audit verify {out}` checks it"))


@app.command("checkpoint")
def checkpoint(
    context: typer.Context,
    log: Annotated[str, typer.Option(help="The log. Default: the first.")] = "",
    out: Out = None,
    as_json: JsonOption = False,
) -> None:
    """Print a log's last signed head. Keep some where the gateway cannot write: they show what was cut off.

    Example: `agent-gateway audit checkpoint --out monday.txt`
    """
    session = session_of(context)
    with _readable():
        paths = {path.stem: path for path in log_paths(_directory(session))}
        name = log or next(iter(paths), "")
        notes = checkpoints(paths[name]) if name in paths else []
    if not notes:
        raise Failure("there is no signed head yet" if name in paths else f"there is no log `{name}`")
    size, note = notes[-1]
    data: dict[str, object] = {"log": name, "size": size, "note": note, "vkey": own_vkeys(session)[0]}
    if out is not None:
        write_private(out, note)
    emit(
        data,
        as_json=as_json,
        text=lambda console: console.print(f"wrote {out}" if out else note, end="\n" if out else ""),
    )


@app.command("export")
def export(
    context: typer.Context,
    form: Annotated[str, typer.Option("--format", help="jsonl (can be verified), ocsf or cloudevents.")] = "jsonl",
    agent: Annotated[str | None, typer.Option(help="Only of this agent; not with jsonl.")] = None,
    out: Out = None,
    as_json: JsonOption = False,
) -> None:
    """Write every record as lines of JSON that other systems read.

    Example: `agent-gateway audit export --format ocsf --out records.jsonl`
    """
    if form not in _FORMATS:
        raise Failure(f"`{form}` is no format", hint=f"one of {', '.join(_FORMATS)}", exit_code=2)
    criteria = Criteria(agent=agent)
    try:
        lines = export_lines(_directory(session_of(context)), _FORMATS[form], criteria)
    except ValueError as error:
        raise Failure(str(error), exit_code=2) from None
    count = 0
    with _readable(), _writer(out) as write:
        for line in lines:
            write(line)
            count += 1
    if out is not None:
        data: dict[str, object] = {"ok": True, "file": str(out), "lines": count}
        emit(data, as_json=as_json, text=lambda console: console.print(f"wrote {count} lines to {out}"))


@app.command("rotate-key")
def rotate_key(context: typer.Context, as_json: JsonOption = False) -> None:
    """Sign the log with a new key from now on, while no gateway runs. Give auditors the new public key.

    Each log says so in a record, under a checkpoint that both keys sign: whoever trusts either can verify all of it.

    Example: `agent-gateway audit rotate-key --json`
    """
    session = session_of(context)
    before = own_vkeys(session)
    loaded = session.load()
    new = rotate_audit_key(data_dir(loaded), loaded.config.audit.origin, time.time, LOCAL_SUBJECT).verifier.vkey
    data: dict[str, object] = {"ok": True, "vkey": new, "retired": before}
    emit(data, as_json=as_json, text=lambda console: console.print(new))


def own_vkeys(session: Session) -> list[str]:
    """Return the public keys of the data directory's log, the latest first; raises `Failure` when there is none."""
    loaded = session.load()
    data = data_dir(loaded)
    if not (data.keys / "audit.pem").exists():
        raise Failure("the data directory holds no audit key", hint="give the public key with --vkey")
    return vkeys(data.keys, loaded.config.audit.origin)


def _directory(session: Session) -> Path:
    return data_dir(session.load()).audit


@contextmanager
def _readable() -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Failure(f"an audit log cannot be read: {error}", hint="`audit verify` says which") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Failure(f"{path} holds no checkpoint", exit_code=2) from None


@contextmanager
def _writer(out: Path | None) -> Generator[Callable[[bytes], object]]:
    if out is None:
        yield lambda line: sys.stdout.write(line.decode())
        return
    with out.open("xb") as file:
        out.chmod(0o600)
        yield file.write


def _print_entry(entry: Entry, *, as_json: bool) -> None:
    if as_json:
        line = {"log": entry.log, "index": entry.index, "record": entry.record}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return
    style: Literal["red", "yellow", ""] = ""
    if entry.record.get("effect") == "forbid" or entry.record.get("kind") == "refusal":
        style = "red"
    elif entry.record.get("status") not in (None, "ok"):
        style = "yellow"
    stdout().print(line_of(entry), style=style)


def line_of(entry: Entry) -> str:
    """Return one record as a line for people."""
    record = entry.record
    at = datetime.fromtimestamp(entry.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    if record.get("kind") == "key":
        return f"{at} key      {record.get('operator', '-')}: another key, {record.get('to', '?')}"
    principal, capability = _member(record, "principal"), _member(record, "capability")
    who = f"{record.get('tenant', principal.get('tenant', '-'))}/{record.get('agent', principal.get('id', '-'))}"
    what = capability.get("name", record.get("capability", record.get("route", "")))
    how = record.get("effect") or record.get("status") or ""
    code = f" [{record['code']}]" if record.get("code") else ""
    return f"{at} {record.get('kind', '?'):<8} {who} {what} {how}{code} {record.get('call', '')}".rstrip()


def _member(record: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = record.get(name)
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _write_report(console: Console, report: Report, *, is_own_key: bool) -> None:
    for finding in report.findings:
        console.print(str(finding), style="red")
    summary = f"{report.records} records in {report.logs} logs, {report.checkpoints} checkpoints"
    summary += f", {report.unanchored} not signed yet, {len(report.open)} calls open"
    verdict = "every record holds" if report.is_ok else "the log does NOT hold"
    console.print(f"{verdict}: {summary}", style="bold green" if report.is_ok else "bold red")
    if is_own_key:
        console.print("the key came from the data directory; keep it elsewhere and give it with --vkey", style="dim")
