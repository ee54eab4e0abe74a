"""The programs on stage: started as their users start them, waited for, and ended with all below them."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from demos import environments
from demos.stage import Stage

START_S = 60.0  # a program gets this long until it answers
STOP_S = 15.0  # and this long to end by itself
POLL_S = 0.05
LAST_LINES = 12  # of a log, when something failed

Ready = Callable[[], Awaitable[bool]]


class DidNotStart(Exception):
    """A program ended early or did not answer in time; the message holds its last lines."""


@dataclass(frozen=True, slots=True)
class Running:
    """A program that runs, in a session of its own; Ctrl-C in the terminal does not reach it."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def last_words(self) -> str:
        """Return the last lines of what it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LAST_LINES:]) or "  (it wrote nothing)"

    def children(self) -> list[psutil.Process]:
        """Return every process below it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    async def stop(self, within_s: float = STOP_S) -> None:
        """End it and whatever is below it: politely, then by force."""
        below = self.children()
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                async with asyncio.timeout(within_s):
                    await self.process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                await self.process.wait()
        for child in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


@asynccontextmanager
async def running(
    name: str,
    argv: Sequence[str],
    log: Path,
    ready: Ready,
    env: Mapping[str, str] | None = None,
    within_s: float = START_S,
) -> AsyncGenerator[Running]:
    """Start a program, wait until it is ready, and end it with the block.

    ready  asked again and again; a connection that fails counts as no

    Raises `DidNotStart`, with nothing left running.
    """
    with log.open("wb") as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise DidNotStart(f"{name} did not start: {argv[0]}: {error.strerror}") from None
    one = Running(name, process, log)
    try:
        await _until_ready(one, ready, within_s)
        yield one
    finally:
        await asyncio.shield(one.stop())


async def _until_ready(one: Running, ready: Ready, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            while one.process.returncode is None:
                with contextlib.suppress(httpx2.TransportError):
                    if await ready():
                        return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise DidNotStart(f"{one.name} did not answer within {within_s:.0f} s; it said:\n{one.last_words()}") from None
    code = one.process.returncode
    raise DidNotStart(f"{one.name} ended at once with code {code}; it said:\n{one.last_words()}")


def gateway(stage: Stage) -> contextlib.AbstractAsyncContextManager[Running]:
    """Start the gateway with `agent-gateway --config … up`; ready when its health check says so."""
    argv = [*command_line(), "--config", str(stage.config), "up"]
    log = stage.folder / "gateway.log"
    return running("the gateway", argv, log, lambda: answers(f"{stage.admin_url}/healthz", 200))


def excel(stage: Stage) -> contextlib.AbstractAsyncContextManager[Running]:
    """Start the Excel server; ready when it asks for its token."""
    program = environments.command("mcp-excel", "excel-mcp-server")
    options = ["--allow-dir", str(stage.workbooks), "--port", str(stage.ports.excel)]
    url = f"http://127.0.0.1:{stage.ports.excel}/mcp"
    return running(
        "the Excel server",
        [*program, "streamable-http", *options],
        stage.folder / "excel.log",
        lambda: answers(url, 401),
        {"EXCEL_MCP_AUTH_TOKEN": stage.secret("excel")},
    )


def command_line() -> list[str]:
    """Return how the command `agent-gateway` of this environment is started."""
    script = Path(sys.executable).with_name("agent-gateway")
    return [str(script)] if script.exists() else [sys.executable, "-m", "agent_gateway.cli.main"]


async def answers(url: str, status: int) -> bool:
    """Say whether a GET of `url` is answered with `status`."""
    async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
        return (await client.get(url)).status_code == status
