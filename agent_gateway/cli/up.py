"""`agent-gateway up`: serve, in this process or in several workers."""

import asyncio
import contextlib
import os
import socket
from typing import Annotated, Final

import typer
import uvloop

from agent_gateway.cli.door import Door
from agent_gateway.cli.greeting import greet, say_json
from agent_gateway.cli.session import Failure, session_of
from agent_gateway.config.load import Loaded
from agent_gateway.listeners.bind import bind
from agent_gateway.runtime.supervisor import Supervisor
from agent_gateway.telemetry.logs import set_up
from gateway_policies.refusal import Refusal

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
    from agent_gateway.cli.up_alone import serve_alone  # who only looks after others needs none of it

    serve_alone(session.config_path, loaded, (data_socket, admin_socket), as_json=as_json)


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
        say_json(loaded, {"workers": count})
    else:
        greet(loaded, count)


def _bound(host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise Failure(f"cannot listen on {host}:{port}: {error.strerror}", hint="is another gateway running?") from None
