"""`agent-gateway up`: serve, in this process or in several workers."""

import socket
import sys
from typing import Annotated

import typer
import uvloop

from agent_gateway.cli.session import Failure, session_of
from agent_gateway.config.load import Loaded
from agent_gateway.listeners.serve import bind
from agent_gateway.runtime.provision import BadConfiguration
from agent_gateway.runtime.supervisor import Supervisor
from agent_gateway.runtime.worker import Worker, serve
from agent_gateway.telemetry.logs import set_up
from gateway_policies.refusal import Unavailable


def up(
    context: typer.Context,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Worker processes; default: the file's.")] = None,
) -> None:
    """Serve agents until interrupted. SIGHUP, or a change of the file, reloads the configuration."""
    session = session_of(context)
    loaded = session.load(needs_secrets=True)
    config = loaded.config
    set_up(config.telemetry.logs, config.telemetry.level)
    data, admin = config.listeners.data, config.listeners.admin
    data_socket, admin_socket = _bound(data.host, data.port), _bound(admin.host, admin.port)
    count = workers or config.workers
    if count > 1:
        command = ["-m", "agent_gateway.runtime.child", str(session.config_path.absolute())]
        fds = [str(data_socket.fileno()), str(admin_socket.fileno())]
        _greet(loaded, count)
        raise SystemExit(uvloop.run(Supervisor([*command, *fds], [data_socket, admin_socket], count).run()))
    try:
        uvloop.run(serve(session.config_path, data_socket, admin_socket, lambda worker: _ready(loaded, worker)))
    except BadConfiguration as error:
        raise Failure("the configuration cannot be served:\n" + "\n".join(error.mistakes)) from None
    except Unavailable as refusal:
        raise Failure(refusal.message, hint=refusal.hint) from None


def _bound(host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise Failure(f"cannot listen on {host}:{port}: {error.strerror}", hint="is another gateway running?") from None


def _ready(loaded: Loaded, worker: Worker) -> None:
    _greet(loaded, 1)
    snapshot = worker.gateway.snapshot
    tools = len(snapshot.catalog.entries)
    _say(f"  {tools} tools of {len(snapshot.upstreams)} upstreams, {len(snapshot.bundle.policies)} policies")
    for name, why in snapshot.missing.items():
        _say(f"  degraded: {name}: {why}")
    for finding in snapshot.findings:
        _say(f"  note: {finding}")


def _greet(loaded: Loaded, workers: int) -> None:
    listeners = loaded.config.listeners
    plural = "s" if workers > 1 else ""
    _say(f"agent gateway: {listeners.data.url}/mcp  (admin {listeners.admin.url}, {workers} worker{plural})")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
