"""Real A2A agents for tests: on the official SDK, in processes of their own, ended with the block."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from support.prefork import command

AGENT = ("support.agent_main",)


@dataclass(frozen=True)
class AgentServer:
    """A running agent."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seen(self) -> list[dict[str, Any]]:
        """Return every request that it was sent, oldest first."""
        found: list[dict[str, Any]] = httpx2.get(f"{self.url}/seen", timeout=30).json()
        return found

    def release(self) -> None:
        """Let every task that waits go on."""
        httpx2.post(f"{self.url}/release", timeout=30)

    def entry(self, name: str, more: str = "") -> str:
        """Return its lines of configuration."""
        return f"  {name}: {{kind: a2a, url: '{self.url}', allow_private: true{more}}}\n"


@contextmanager
def start_agent(*flags: str) -> Generator[AgentServer]:
    """Run the agent on a free loopback port until the block ends."""
    with subprocess.Popen(command(AGENT, *flags), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(b"PORT "), "the agent did not start"
            yield AgentServer(int(line.split()[1]))
        finally:
            process.kill()
