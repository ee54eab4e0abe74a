"""Systems under test: how each is started, what it is asked, what a good answer and a denial look like.

Here: the stub itself and plain proxies. The gateway's own recipes are in `gateway.py`.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from demos import environments
from demos.bench import load, serving
from demos.bench.upstream import STUB_TEXT, Stub

HERE = Path(__file__).parent
PROXY_START_S = 15.0
VERSION_TIMEOUT_S = 20.0
PROTOCOL = "2026-07-28"
ARGUMENTS: Mapping[str, object] = {"text": "hello world, this is a typical short argument", "n": 3}


@dataclass(frozen=True, slots=True)
class Ground:
    """What every recipe may use: the stub, a private directory, the core of the system under test."""

    stub: Stub
    scratch: Path
    core: int | None

    def start(self, name: str, argv: list[str], env: Mapping[str, str] | None = None) -> serving.Server:
        """Start a program on the core of the system under test; its output goes to `NAME.log`."""
        return serving.start(name, argv, scratch=self.scratch, core=self.core, env=env)


@dataclass(frozen=True, slots=True)
class System:
    """A running system: one request it must answer from the stub, and those it must refuse.

    server  None when there is no process of its own (the stub, asked directly)
    denied  requests that must not reach the stub; none for what decides nothing
    """

    name: str
    target: load.Target
    server: serving.Server | None = None
    version: str = ""
    denied: Mapping[str, load.Target] = field(default_factory=dict[str, load.Target])


@dataclass(frozen=True, slots=True)
class Recipe:
    """One system by name. `start` raises `Missing` (skip it by name) or `StartFailed`."""

    name: str
    what: str
    start: Callable[[Ground], System]


class Unfit(Exception):
    """A system answers a good request badly, or lets through what it must refuse: not worth measuring."""


def call(url: str, tool: str, arguments: Mapping[str, object] = ARGUMENTS, *, token: str | None = None) -> load.Target:
    """Return a `tools/call` as a client of MCP 2026-07-28 sends it."""
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": PROTOCOL,
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": PROTOCOL,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return load.Target(url, headers, json.dumps(body, separators=(",", ":")))


def answers(target: load.Target) -> bool:
    """Return whether the stub's answer comes back; False also when nothing answers yet."""
    try:
        answer = serving.post(target.url, target.headers, target.body)
    except OSError:
        return False
    return answer.status == 200 and STUB_TEXT in answer.body


def check(system: System) -> None:
    """Raise `Unfit` unless the good request is answered by the stub and every denied one is refused."""
    good = serving.post(system.target.url, system.target.headers, system.target.body)
    if good.status != 200 or STUB_TEXT not in good.body:
        raise Unfit(f"{system.name} answers a good request with {good.status}: {good.body[:300]}")
    for what, target in system.denied.items():
        answer = serving.post(target.url, target.headers, target.body)
        is_error = re.search(r'"error"|"isError": ?true', answer.body) is not None
        if STUB_TEXT in answer.body or (answer.status < 400 and not is_error):
            raise Unfit(f"{system.name} does not refuse {what}: {answer.status}: {answer.body[:300]}")


def direct(ground: Ground) -> System:
    """The stub without anything before it: the most that the load generator gets here."""
    return System("direct", call(ground.stub.url, "echo"), version=f"stub ({ground.stub.variant})")


def nginx(ground: Ground) -> System:
    """One nginx process as plain reverse proxy with kept upstream connections."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise serving.Missing("nginx is not installed")
    port = serving.free_port()
    home = ground.scratch / "nginx"
    home.mkdir()
    template = (HERE / "nginx.conf").read_text(encoding="utf-8")
    text = template.replace("LISTEN_PORT", str(port)).replace("UPSTREAM_PORT", str(ground.stub.port))
    (home / "nginx.conf").write_text(text, encoding="utf-8")
    server = ground.start("nginx", [program, "-p", str(home), "-e", str(home / "error.log"), "-c", "nginx.conf"])
    return _ready("nginx", server, port, version_of([program, "-v"]))


def python_proxy(ground: Ground) -> System:
    """The plain Python proxy of `reference.py`: the yardstick where nginx is missing."""
    port = serving.free_port()
    argv = [sys.executable, str(HERE / "reference.py"), str(port), str(ground.stub.port)]
    return _ready("python-proxy", ground.start("python-proxy", argv), port, f"python {sys.version.split()[0]}")


def envoy(ground: Ground) -> System:
    """Envoy as plain reverse proxy with one worker, from PATH or from the `envoy` environment."""
    argv = envoy_command()
    port = serving.free_port()
    template = (HERE / "envoy.yaml").read_text(encoding="utf-8")
    config = ground.scratch / "envoy.yaml"
    text = template.replace("LISTEN_PORT", str(port)).replace("UPSTREAM_PORT", str(ground.stub.port))
    config.write_text(text, encoding="utf-8")
    options = ["-c", str(config), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    return _ready("envoy", ground.start("envoy", [*argv, *options]), port, version_of([*argv, "--version"]))


def envoy_command() -> list[str]:
    """Return how Envoy is started, from PATH or from the `envoy` environment; raises `Missing`."""
    program = shutil.which("envoy")
    if program is not None:
        return [program]
    if environments.is_made("envoy"):
        return environments.command("envoy", "envoy")
    raise serving.Missing("envoy is not on PATH (`python demos/environments.py envoy` gets it)")


def _ready(name: str, server: serving.Server, port: int, version: str) -> System:
    target = call(f"http://127.0.0.1:{port}/mcp", "echo")
    serving.wait_until(server, lambda: answers(target), within_s=PROXY_START_S)
    return System(name, target, server, version)


def version_of(argv: list[str]) -> str:
    """Return the version number that a program prints of itself, or nothing."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return found[0] if found else ""


DIRECT = Recipe("direct", "the stub itself", direct)
NGINX = Recipe("nginx", "plain reverse proxy, one process", nginx)
PYTHON_PROXY = Recipe("python-proxy", "plain proxy in Python callbacks", python_proxy)
ENVOY = Recipe("envoy", "plain reverse proxy, one worker", envoy)
