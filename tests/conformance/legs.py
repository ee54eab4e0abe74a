"""The legs of a run: processes of the fixture, of shims before it and of one gateway, and a URL for each way.

Everything listens on free loopback ports and ends with the block.
"""

import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_gateway.identity.api_keys import new_api_key
from conformance import fixture
from conformance import fixture_asking as asking
from support.running import free_ports, paths, running_gateway
from support.sources import ROOT

VERSIONS: Final = ("2025-06-18", "2025-11-25", "2026-07-28")
DIRECT: Final = "direct"
CLIENT: Final = "client"
AUTH: Final = "auth"
TASKS_DIRECT: Final = "tasks-direct"
LEGS: Final[Mapping[str, str]] = {
    DIRECT: "the fixture alone",
    "forwarder": "through the forwarder alone, which must change nothing",
    "server": "through the gateway, one upstream",
    "aggregate": "through the gateway, all upstreams at one URL",
    "to-legacy": "through the gateway, the upstream speaks the handshake era only",
    "to-modern": "through the gateway, the upstream speaks 2026-07-28 only",
    CLIENT: "the gateway as the client of the suite's own servers",
    AUTH: "the same, where they want a token of an authorization server",
    TASKS_DIRECT: "the extension's scenarios: a server of tasks alone",
    "tasks": "through the gateway, the upstream has the extension",
    "tasks-to-legacy": "through the gateway, the upstream has the tasks of 2025-11-25",
}
TASK_LEGS: Final = frozenset(leg for leg in LEGS if leg.startswith("tasks"))  # in 2026-07-28 alone


@dataclass(frozen=True, slots=True)
class World:
    """Where each leg is reached."""

    urls: Mapping[str, str]


@contextmanager
def world(folder: Path) -> Generator[World]:
    """Start everything; `folder` takes the gateway's configuration and data."""
    with ExitStack() as stack:
        fixture = stack.enter_context(_program("fixture", "http"))
        gate, admin = free_ports(2)
        key, stored = new_api_key()
        token = f"Authorization: Bearer {key}"
        shims = {
            "to-legacy": stack.enter_context(_program("forwarder", "--to", str(fixture), "--refuse", "modern")),
            "to-modern": stack.enter_context(_program("forwarder", "--to", str(fixture), "--refuse", "legacy")),
        }
        jobs = {kind: stack.enter_context(_program("task_fixture", kind)) for kind in ("modern", "legacy")}
        plain = stack.enter_context(_program("forwarder", "--to", str(fixture)))
        front = stack.enter_context(_program("forwarder", "--to", str(gate), "--header", token))
        config = folder / "gateway.yaml"
        credential = f"{{kind: api_key, id: {stored.id}, sha256: {stored.sha256}}}"
        entries = "".join(upstream(name, port) for name, port in {"both": fixture, **shims, **jobs}.items())
        config.write_text(
            f"""version: 1
data_dir: ./data
listeners:
  data:
    host: 127.0.0.1
    port: {gate}
    allowed_hosts: ["127.0.0.1:{front}", "localhost:{front}"]
    allowed_origins: ["http://127.0.0.1:{front}", "http://localhost:{front}"]
  admin: {{host: 127.0.0.1, port: {admin}}}
tenants: {{suite: {{}}}}
agents: {{suite: {{tenant: suite, owner: suite, credentials: [{credential}]}}}}
upstreams:
{entries}{aggregate()}policies: {{files: [main.cedar]}}
audit: {{origin: conformance.test}}
telemetry: {{logs: console, level: error}}
"""
        )
        (folder / "main.cedar").write_text('@id("all") permit (principal, action, resource);\n')
        stack.enter_context(running_gateway(config))
        base = f"http://127.0.0.1:{front}"
        yield World(
            {
                DIRECT: f"http://127.0.0.1:{fixture}/mcp",
                "forwarder": f"http://127.0.0.1:{plain}/mcp",
                "server": f"{base}/servers/both/mcp",
                "aggregate": f"{base}/mcp",
                **{name: f"{base}/servers/{name}/mcp" for name in shims},
                TASKS_DIRECT: f"http://127.0.0.1:{jobs['modern']}/mcp",
                "tasks": f"{base}/servers/modern/mcp",
                "tasks-to-legacy": f"{base}/servers/legacy/mcp",
            }
        )


def aggregate() -> str:
    """Return the default toolset: one upstream's part of all there is, under the names that the suite knows."""
    tools = (*fixture.ALONE, *asking.TOOLS, fixture.json_schema_2020_12_tool)
    prompts = (*fixture.PROMPTS, asking.test_input_required_result_prompt)
    names = "".join(f"      both__{one.__name__}: {{name: {one.__name__}}}\n" for one in (*tools, *prompts))
    what = 'include: ["both__*"]\n    prompts: ["both__*"]\n    resources: ["test*"]'
    return f"toolsets:\n  default:\n    {what}\n    tools:\n{names}"


def upstream(name: str, port: int) -> str:
    """Return the configuration of one upstream, all of whose tools may be called."""
    rules = 'tools: {"*": {risk: 1}}' + (", era: caller" if name == "both" else "")
    return f"  {name}: {{url: 'http://127.0.0.1:{port}/mcp', allow_private: true, {rules}}}\n"


@contextmanager
def _program(name: str, *words: str) -> Generator[int]:
    """Run a module of this folder until the block ends; yield the port that it says it listens on."""
    line = [sys.executable, "-W", "ignore", "-m", f"conformance.{name}", *words]
    environ = paths()
    environ["PYTHONPATH"] += f":{ROOT / 'tests'}"
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("PORT "), f"{name} did not start"
            yield int(said.split()[1])
        finally:
            process.terminate()
            process.wait(30)
