"""`agent-gateway doctor`: everything that must be right, one line each, with what to do where it is not."""

import socket
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Final, Literal

import typer
from pydantic import TypeAdapter
from rich.console import Console

from agent_gateway.admin.models import ConfigShown, Findings
from agent_gateway.audit.reader import log_paths, records, size
from agent_gateway.audit.rotation import vkeys
from agent_gateway.audit.verify import verify
from agent_gateway.cli.asking import Running, Source, source_of
from agent_gateway.cli.further_checks import check_agents, check_policies
from agent_gateway.cli.local import is_program
from agent_gateway.cli.session import Failure, JsonOption, emit, session_of
from agent_gateway.config.listeners import Listener
from agent_gateway.config.load import Loaded, load
from agent_gateway.config.problems import ConfigErrors
from agent_gateway.config.upstream_mcp import McpUpstream
from agent_gateway.listeners.bind import bind
from agent_gateway.runtime.books import DataDir

MAX_VERIFIED: Final = 200_000  # records; a longer log is left to `audit verify`
MIN_FREE_BYTES: Final = 256 * 1024 * 1024
MIN_SQLITE: Final = (3, 37)
WAL_SAFE_SQLITE: Final = (3, 51, 3)
_SECRET_MODE: Final = 0o077

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    state: State
    about: str
    text: str
    hint: str = ""


def doctor(context: typer.Context, as_json: JsonOption = False) -> None:
    """Look at everything the gateway needs. Exit code 1 when something is wrong.

    Example: `agent-gateway doctor --json`
    """
    found = list(examine(session_of(context).config_path))
    is_ok = all(one.state != "fail" for one in found)
    data: dict[str, object] = {"ok": is_ok, "findings": [asdict(one) for one in found]}
    emit(data, as_json=as_json, text=lambda console: _write(console, found))
    if not is_ok:
        raise typer.Exit(1)


def examine(path: Path) -> Iterator[Finding]:
    """Yield a finding for each thing that is looked at, in the order of what depends on what."""
    yield _sqlite(sqlite3.sqlite_version_info)
    try:
        loaded = load(path)
    except ConfigErrors as errors:
        for problem in errors.errors:
            yield Finding("fail", "configuration", problem.text)
        return
    yield Finding("ok", "configuration", f"{path} loads, and every secret is there")
    for problem in loaded.findings:
        yield Finding("warn", "configuration", problem.text)
    yield from _policies(loaded)
    data = DataDir(loaded.data_dir)
    yield from _data_dir(data)
    yield from _programs(loaded)
    yield from _clock(data)
    yield from _audit(loaded, data)
    try:
        source = source_of(loaded)
    except Failure as failure:
        yield Finding("fail", "gateway", failure.message, failure.hint)
        return
    yield from _gateway(loaded, source)
    yield from _upstreams(source)


def _sqlite(version: tuple[int, ...]) -> Finding:
    text = f"version {'.'.join(map(str, version))}"
    if version < MIN_SQLITE:
        return Finding("fail", "sqlite", text, f"use a Python with SQLite {'.'.join(map(str, MIN_SQLITE))} or newer")
    if version < WAL_SAFE_SQLITE:
        hint = "nothing to do: its fault in write-ahead logs needs two writers, and each log here has one"
        return Finding("warn", "sqlite", text, hint)
    return Finding("ok", "sqlite", text)


def _programs(loaded: Loaded) -> Iterator[Finding]:
    for name, one in loaded.config.upstreams.items():
        if isinstance(one, McpUpstream) and one.command is not None and one.enabled:
            program = one.command[0]
            if not is_program(program, loaded.base_dir / (one.cwd or "")):
                yield Finding("fail", f"upstream {name}", f"there is no program `{program}` here", "install it")


def _policies(loaded: Loaded) -> Iterator[Finding]:
    problems = [*check_agents(loaded), *check_policies(loaded)]
    for problem in problems:
        yield Finding("fail" if problem.severity == "error" else "warn", "policies", problem.text)
    if not any(problem.severity == "error" for problem in problems):
        yield Finding("ok", "policies", f"{len(loaded.policies)} files compile")


def _data_dir(data: DataDir) -> Iterator[Finding]:
    if not data.root.exists():
        yield Finding("warn", "data directory", f"{data.root} is not there yet", "`agent-gateway up` makes it")
        return
    wrong = [path for path in (data.root, data.keys, *_files(data.keys)) if path.stat().st_mode & _SECRET_MODE]
    for path in wrong:
        hint = f"chmod go-rwx {path}"
        yield Finding("fail", "data directory", f"others than its owner may read {path}", hint)
    free = disk_usage(data.root).free
    if free < MIN_FREE_BYTES:
        yield Finding("warn", "data directory", f"{free // 1024 // 1024} MiB are free", "the audit log needs room")
    if not wrong:
        yield Finding("ok", "data directory", f"{data.root} is its owner's alone, {free // 1024 // 1024} MiB free")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def _clock(data: DataDir) -> Iterator[Finding]:
    """The clock against the last record: one that went back would open old windows and tokens again."""
    if not data.audit.is_dir() or not log_paths(data.audit):
        return
    try:
        last = next(records(data.audit, reverse=True), None)
    except sqlite3.Error:
        return  # `_audit` tells
    if last is not None and last.at_ms > (time.time() + 5) * 1000:
        behind_s = last.at_ms // 1000 - int(time.time())
        yield Finding("fail", "clock", f"it is {behind_s} s behind the last audit record", "set it, by NTP best")
    else:
        yield Finding("ok", "clock", "it is not behind the last audit record")


def _audit(loaded: Loaded, data: DataDir) -> Iterator[Finding]:
    if not data.audit.is_dir() or not log_paths(data.audit) or not (data.keys / "audit.pem").exists():
        yield Finding("ok", "audit", "there is no log yet")
        return
    try:
        total = sum(size(path) for path in log_paths(data.audit))
        if total > MAX_VERIFIED:
            yield Finding("warn", "audit", f"{total} records are too many to verify here", "run `audit verify`")
            return
        report = verify(data.audit, vkeys(data.keys, loaded.config.audit.origin))
    except (sqlite3.Error, ValueError) as error:
        yield Finding("fail", "audit", f"the log cannot be read: {error}", "run `audit verify`")
        return
    for finding in report.findings[:5]:
        yield Finding("fail", "audit", str(finding), "keep the files as they are, and find out who wrote to them")
    if report.is_ok:
        yield Finding("ok", "audit", f"{report.records} records in {report.logs} logs hold")


def _gateway(loaded: Loaded, source: Source) -> Iterator[Finding]:
    listeners = loaded.config.listeners
    if not isinstance(source, Running):
        yield _port("data", listeners.data)
        yield _port("admin", listeners.admin)
        yield Finding("warn", "gateway", "it is not running", "`agent-gateway up` starts it")
        return
    try:
        served = source.ask("GET", "/v1/config", TypeAdapter(ConfigShown))
        findings = source.ask("GET", "/v1/findings", TypeAdapter(Findings))
    except Failure as failure:
        yield Finding("fail", "gateway", failure.message, failure.hint)
        return
    yield Finding("ok", "gateway", f"it is running, with snapshot {served.snapshot}")
    if findings.last_problem:
        yield Finding("fail", "gateway", f"it refused the last reload: {findings.last_problem}", "mend the file")
    elif served.digest != loaded.digest:
        yield Finding("warn", "gateway", f"it serves another state of {served.path}", "send it SIGHUP, or restart it")
    told = {problem.text for problem in loaded.findings}
    for text in findings.items:
        if text not in told:
            yield Finding("warn", "gateway", text)


def _port(name: str, listener: Listener) -> Finding:
    try:
        bind(listener.host, listener.port).close()
    except (OSError, socket.gaierror) as error:
        text = f"cannot listen on {listener.host}:{listener.port}: {error.strerror}"
        return Finding("fail", f"{name} listener", text, "another program has the port, or the address is not here")
    return Finding("ok", f"{name} listener", f"{listener.host}:{listener.port} is free")


def _upstreams(source: Source) -> Iterator[Finding]:
    try:
        upstreams = source.upstreams()
    except Failure:
        return  # `_gateway` told
    for one in upstreams:
        about = f"upstream {one.name}"
        if one.missing or one.state == "down":
            hint = "its tools are left out until it answers; other upstreams are served"
            yield Finding("fail", about, one.missing or one.detail or "it does not answer", hint)
        else:
            yield Finding("ok", about, f"{one.tools} tools, {one.server or one.transport}")


_STYLES: Final[dict[State, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def _write(console: Console, found: list[Finding]) -> None:
    for one in found:
        console.print(f"{one.state:<4} {one.about}: {one.text}", style=_STYLES[one.state])
        if one.hint:
            console.print(f"       → {one.hint}")
