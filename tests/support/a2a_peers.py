"""Agents and clients of A2A that nobody here wrote, each in an environment of its own; all end with their block."""

import json
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil

from demos.environments import command, directory, is_made
from support.agent_servers import start_agent
from support.processes import free_port

PROGRAMS = Path(__file__).parents[1] / "interop" / "peers"
START_S = 120.0  # until an agent answers, on a busy machine
POLL_S = 0.1
RUN_S = 120.0  # of one client

Argv = Callable[[], list[str]]


def _program(environment: str, name: str) -> Argv:
    return lambda: [*command(environment, "python"), str(PROGRAMS / name)]


def _script(name: str) -> Argv:
    return lambda: [*command("a2a-js", "node"), str(PROGRAMS / name), str(directory("a2a-js") / "node_modules")]


@dataclass(frozen=True, slots=True)
class Peer:
    """One program: the environment that it needs (empty for our own), how it is started, what it says."""

    environment: str
    argv: Argv
    words: str = ""

    @property
    def is_here(self) -> bool:
        return not self.environment or is_made(self.environment)


AGENTS: Mapping[str, Peer] = {
    "sdk": Peer("", list, "hello"),
    "adk": Peer("a2a-adk", _program("a2a-adk", "adk_agent.py"), "hello from adk"),
    "fasta": Peer("a2a-fasta", _program("a2a-fasta", "fasta_agent.py"), "hello from fasta2a"),
    "strands": Peer("a2a-strands", _program("a2a-strands", "strands_agent.py"), "hello from strands"),
    "js": Peer("a2a-js", _script("js_agent.mjs"), "hello from js"),
}


JUDGE = Peer("a2a-js", _script("js_verify.mjs"))  # of cards' signatures


def _ours(binding: str) -> Argv:
    return lambda: [sys.executable, "-W", "ignore", str(PROGRAMS / "sdk_client.py"), binding]


CLIENTS: Mapping[str, Peer] = {
    "sdk": Peer("", _ours("JSONRPC")),
    "sdk over http+json": Peer("", _ours("HTTP+JSON")),
    "sdk of 0.3": Peer("a2a-strands", _program("a2a-strands", "old_sdk_client.py")),
    "js": Peer("a2a-js", _script("js_client.mjs")),
    "handler": Peer("a2a-handler", lambda: [*command("a2a-handler", "python"), str(PROGRAMS / "handler_client.py")]),
}


@contextmanager
def agent(name: str) -> Generator[str]:
    """Run an agent on a free loopback port until the block ends; yields its URL."""
    if name == "sdk":
        with start_agent() as server:
            yield server.url
        return
    port = free_port()
    with subprocess.Popen(
        [*AGENTS[name].argv(), str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        try:
            _await_card(f"http://127.0.0.1:{port}", child)
            yield f"http://127.0.0.1:{port}"
        finally:
            for one in (*psutil.Process(child.pid).children(recursive=True), child):
                one.kill()


def _await_card(url: str, child: "subprocess.Popen[str]") -> None:
    """Return once the agent serves its card; it says nothing when it is ready."""
    for _ in range(int(START_S / POLL_S)):
        try:
            httpx2.get(f"{url}/.well-known/agent-card.json", timeout=START_S).raise_for_status()
        except (httpx2.TransportError, httpx2.HTTPStatusError):
            try:
                child.wait(POLL_S)
            except subprocess.TimeoutExpired:
                continue
            assert child.stdout is not None
            raise AssertionError(child.stdout.read()[-2000:]) from None
        return
    raise AssertionError(f"the agent does not answer within {START_S:.0f} s")


def run_client(name: str, url: str, token: str) -> dict[str, Any]:
    """Run a client against an agent to its end; return what its steps came to, empty when it could not even begin."""
    argv = [*CLIENTS[name].argv(), url, token]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=RUN_S, check=False)
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if done.returncode == 0 and lines else {}
