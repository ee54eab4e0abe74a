"""Keep the demonstration's gateway up in the foreground, for clients of your own."""

import asyncio
import os
from pathlib import Path

import httpx2

from demos import processes
from demos.stage import CannotStage, Ports, Stage, free_ports, is_free, set_stage, shown

PORT = 8080
AGENT = "planner"
CLIENTS = ("claude-code", "cursor", "vscode", "codex")


async def serve(folder: Path, port: int) -> int:
    """Serve until cancelled, or until a program ends by itself (then 1).

    port  for agents; the admin listener is on the next one. Raises `CannotStage` when one of them is taken.
    """
    for one in (port, port + 1):
        if not is_free(one):
            raise CannotStage(f"port {one} is taken; choose another: demos/demo.py --up --port 9080")
    (excel_port,) = free_ports(1)
    stage = Stage(folder, Ports(port, port + 1, excel_port, excel_port))
    set_stage(stage)
    async with processes.excel(stage) as excel, processes.gateway(stage) as gateway:
        print(greeting(stage, await token(stage)), flush=True)
        ends = [asyncio.ensure_future(one.process.wait()) for one in (excel, gateway)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        dead = next(one for one in (gateway, excel) if one.process.returncode is not None)
        raise processes.DidNotStart(f"{dead.name} ended by itself; it said:\n{dead.last_words()}")


async def token(stage: Stage) -> str:
    """Return an access token of the demonstration's agent, from the gateway's own token service."""
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        reply = await client.post(
            f"{stage.url}/oauth/token",
            data={"grant_type": "client_credentials", "resource": f"{stage.url}/mcp"},
            auth=(AGENT, stage.secret(AGENT)),
        )
    if reply.status_code != 200:
        raise processes.DidNotStart(f"the token service answered {reply.status_code}: {reply.text[:200]}")
    return str(reply.json()["access_token"])


def greeting(stage: Stage, access_token: str) -> str:
    """Return what a person needs to connect a client of their own."""
    program = " ".join(shown(Path(word)) if os.path.isabs(word) else word for word in processes.command_line())
    command = f"{program} --config {shown(stage.config)}"
    lines = [
        f"The gateway is up: {stage.url}/mcp (reading only: {stage.url}/mcp/reading; admin: {stage.admin_url})",
        "",
        f"A token of `{AGENT}`, good for an hour, for the shell from which you start your client:",
        f"  export AGENT_GATEWAY_TOKEN={access_token}",
        f"  {command} token {AGENT}   # a new one",
        "",
        "The entry for your client (add --write to put it in place):",
        *(f"  {command} connect {client}" for client in CLIENTS),
        "",
        f"Agents and their secrets are in {shown(stage.folder)}. Ctrl-C ends everything.",
    ]
    return "\n".join(lines)
