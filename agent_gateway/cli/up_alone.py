"""`agent-gateway up` with one worker: this process."""

import socket
from pathlib import Path

import uvloop

from agent_gateway.cli.greeting import greet, say, say_json
from agent_gateway.cli.session import Failure
from agent_gateway.config.load import Loaded
from agent_gateway.runtime.provision import BadConfiguration
from agent_gateway.runtime.worker import Worker, serve
from gateway_policies.refusal import Unavailable


def serve_alone(path: Path, loaded: Loaded, sockets: tuple[socket.socket, socket.socket], *, as_json: bool) -> None:
    """Serve on the data and the admin socket until told to end; raises `Failure`."""
    try:
        uvloop.run(serve(path, *sockets, lambda one: _ready(loaded, one, as_json=as_json), 1))
    except BadConfiguration as error:
        raise Failure("the configuration cannot be served:\n" + "\n".join(error.mistakes)) from None
    except Unavailable as refusal:
        raise Failure(refusal.message, hint=refusal.hint) from None


def _ready(loaded: Loaded, worker: Worker, *, as_json: bool) -> None:
    snapshot = worker.gateway.snapshot
    tools = len(snapshot.catalog.entries)
    if as_json:
        facts = {"workers": 1, "tools": tools, "upstreams": len(snapshot.upstreams), "snapshot": snapshot.id}
        say_json(loaded, {**facts, "degraded": dict(snapshot.missing), "notes": list(snapshot.findings)})
        return
    greet(loaded, 1)
    say(f"  {tools} tools of {len(snapshot.upstreams)} upstreams, {len(snapshot.bundle.policies)} policies")
    for name, why in snapshot.missing.items():
        say(f"  degraded: {name}: {why}")
    for finding in snapshot.findings:
        say(f"  note: {finding}")
