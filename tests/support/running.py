"""A gateway in a process of its own, as `agent-gateway up` starts it, with the SDK's server behind it."""

import json
import os
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.mcp_servers import server_command
from support.prefork import GATEWAY, command
from support.sources import ROOT

SECRET = "correct horse battery staple, all of it"
POLICIES = """
@id("research-reads")
permit (principal in Team::"acme/research", action == Action::"call", resource) when { resource.risk <= 4 };

@id("no-swearing")
@reason("the text must be polite")
@hint("leave the bad word out")
forbid (principal, action == Action::"call", resource == Tool::"sdk__echo") when {
  context.args has text && context.args.text like "*damn*"
};

@id("ops-all")
permit (principal in Team::"acme/ops", action == Action::"call", resource);
"""


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A served configuration. `ready` is what `up --json` said."""

    config: Path
    process: "subprocess.Popen[str]"
    ready: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.config.parent


def paths() -> dict[str, str]:
    """Return this process's environment, with the packages of this project on the path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in (".", "policies", "a2a"))}


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def write_world(folder: Path, *, upstreams: str = "", ports: list[int] | None = None) -> Path:
    """Write a configuration with two agents, one real server and one purse; return its path.

    upstreams  YAML lines of further upstreams, indented by two
    """
    data_port, admin_port = ports or free_ports(2)
    (folder / "planner.secret").write_text(SECRET)
    (folder / "planner.secret").chmod(0o600)
    (folder / "main.cedar").write_text(POLICIES)
    sdk = json.dumps(list(server_command()))
    path = folder / "gateway.yaml"
    path.write_text(f"""version: 1
data_dir: ./data
listeners:
  data: {{host: 127.0.0.1, port: {data_port}}}
  admin: {{host: 127.0.0.1, port: {admin_port}}}
tenants: {{acme: {{teams: {{research: {{}}, ops: {{}}}}}}}}
agents:
  planner:
    tenant: acme
    teams: [research]
    owner: ana
    credentials: [{{kind: client_secret, secret: "file:planner.secret"}}]
  boss: {{tenant: acme, teams: [ops], owner: ben}}
  nobody: {{tenant: acme, owner: cy}}
admins: [{{agent: boss}}]
upstreams:
  sdk: # the fixture
    command: {sdk}
    tools: {{"*": {{risk: 3, price_micros: 10}}, die: {{risk: 9}}}}
{upstreams}toolsets:
  reading: {{include: ["sdk__e*"]}}
policies: {{files: [main.cedar]}}
budgets:
  - {{name: purse, scope: agent, match: "acme/planner", unit: calls, limit: 500, window: day}}
  - {{name: steps, scope: capability, match: sdk__steps, unit: calls, limit: 1, window: total}}
audit: {{origin: test.example, checkpoint_every_s: 0.2}}
telemetry: {{logs: console, level: warning}}
""")
    return path


@contextmanager
def running_gateway(config: Path, *flags: str) -> Generator[RunningGateway]:
    """Run `agent-gateway up` on a configuration until the block ends; it is ready when the block begins."""
    started = command(GATEWAY, "--config", str(config), "up", "--json", *flags)
    with subprocess.Popen(started, stdout=subprocess.PIPE, text=True, env=paths()) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"the gateway ended with code {process.wait()}"
            assert line.startswith('{"ready"'), f"the gateway does not serve: {line}{process.stdout.read()}"
            yield RunningGateway(config, process, json.loads(line))
        finally:
            process.terminate()
            process.wait(30)
