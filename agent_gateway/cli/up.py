"""`agent-gateway up`: serve, in this process or in several workers."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from typing import Annotated, Final

import typer
import uvloop

from agent_gateway.cli.local import Door
from agent_gateway.cli.session import Failure, session_of
from agent_gateway.config.load import Loaded
from agent_gateway.listeners.serve import bind
from agent_gateway.runtime.provision import BadConfiguration
from agent_gateway.runtime.supervisor import Supervisor
from agent_gateway.runtime.worker import Worker, serve
from agent_gateway.telemetry.logs import set_up
from gateway_policies.refusal import Refusal, Unavailable

_ASK_EVERY_S: Final = 0.1


def up(
    context: typer.Context,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Worker processes; default: the file's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON once it serves.")] = False,
) -> None:
    """Serve agents until interrupted. SIGHUP, or a change of the file, reloads the configuration.

    Example: `agent-gateway -c gateway.yaml up --workers 4`
    """
    session = session_of(context)
    loaded = session.load(needs_secrets=True)
    config = loaded.config
    set_up(config.telemetry.logs, config.telemetry.level)
    data, admin = config.listeners.data, config.listeners.admin
    data_socket, admin_socket = _bound(data.host, data.port), _bound(admin.host, admin.port)
    count = workers or config.workers
    if count > 1:
        command = ["-m", "agent_gateway.runtime.child", str(session.config_path.absolute())]
        fds = [str(data_socket.fileno()), str(admin_socket.fileno()), str(count), str(os.getpid())]
        supervisor = Supervisor([*command, *fds], [data_socket, admin_socket], count)
        raise SystemExit(uvloop.run(_supervised(supervisor, loaded, count, as_json=as_json)))
    try:
        uvloop.run(
            serve(session.config_path, data_socket, admin_socket, lambda one: _ready(loaded, one, as_json=as_json), 1)
        )
    except BadConfiguration as error:
        raise Failure("the configuration cannot be served:\n" + "\n".join(error.mistakes)) from None
    except Unavailable as refusal:
        raise Failure(refusal.message, hint=refusal.hint) from None


async def _supervised(supervisor: Supervisor, loaded: Loaded, count: int, *, as_json: bool) -> int:
    """Run the workers; say so once one of them answers."""
    greeting = asyncio.ensure_future(_greet_when_ready(loaded, count, as_json=as_json))
    try:
        return await supervisor.run()
    finally:
        greeting.cancel()


async def _greet_when_ready(loaded: Loaded, count: int, *, as_json: bool) -> None:
    door = Door(loaded.config.listeners.admin)
    while True:
        with contextlib.suppress(Refusal):
            if (await door.send("GET", "/healthz", [])).status == 200:
                break
        await asyncio.sleep(_ASK_EVERY_S)
    if as_json:
        _say_json(loaded, {"workers": count})
    else:
        _greet(loaded, count)


def _bound(host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise Failure(f"cannot listen on {host}:{port}: {error.strerror}", hint="is another gateway running?") from None


def _ready(loaded: Loaded, worker: Worker, *, as_json: bool) -> None:
    snapshot = worker.gateway.snapshot
    tools = len(snapshot.catalog.entries)
    if as_json:
        facts = {"workers": 1, "tools": tools, "upstreams": len(snapshot.upstreams), "snapshot": snapshot.id}
        _say_json(loaded, {**facts, "degraded": dict(snapshot.missing), "notes": list(snapshot.findings)})
        return
    _greet(loaded, 1)
    _say(f"  {tools} tools of {len(snapshot.upstreams)} upstreams, {len(snapshot.bundle.policies)} policies")
    for name, why in snapshot.missing.items():
        _say(f"  degraded: {name}: {why}")
    for finding in snapshot.findings:
        _say(f"  note: {finding}")


def _say_json(loaded: Loaded, facts: Mapping[str, object]) -> None:
    """Tell a program, in one line on standard output, that the gateway serves."""
    listeners = loaded.config.listeners
    urls = {"endpoint": f"{listeners.data.url}/mcp", "admin": listeners.admin.url}
    sys.stdout.write(json.dumps({"ready": True, "pid": os.getpid(), **urls, **facts}) + "\n")
    sys.stdout.flush()


def _greet(loaded: Loaded, workers: int) -> None:
    listeners = loaded.config.listeners
    plural = "s" if workers > 1 else ""
    _say(f"agent gateway: {listeners.data.url}/mcp  (admin {listeners.admin.url}, {workers} worker{plural})")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
