"""A gateway as a process of its own, on real sockets: started, killed, asked, and read afterwards."""

import asyncio
import base64
import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import psutil
from anyio.lowlevel import checkpoint

from agent_gateway.audit.reader import records
from agent_gateway.audit.verify import Report, verify_directory
from agent_gateway.runtime.books import DataDir, signer_of
from agent_gateway.runtime.siblings import RUN_DIR
from agent_gateway.stores.sqlite_ledger import read_usage
from support.gateways import META, VERSION
from support.prefork import GATEWAY, Forked
from support.running import free_ports
from support.scenes import FILES, PLANNER_SECRET, Records

ROOT = Path(__file__).parents[2]
ORIGIN = "processes.test"
NOTHING: Mapping[str, object] = {}
_CHANCES = 2400  # looks at a starting gateway, 25 ms apart


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    return free_ports(1)[0]


class Died(Exception):
    """The connection ended before the answer was whole."""


@dataclass
class Wire:
    """One keep-alive connection, by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send one request; return status and body. Raises `Died`."""
        lines = [
            f"{method} {path} HTTP/1.1",
            "host: localhost",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode()
        try:
            self.writer.write(head + body)
            await self.writer.drain()
            answer = await self.reader.readuntil(b"\r\n\r\n")
            told = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:-2])
            if b"content-length" not in told:
                return int(answer[9:12]), await self._chunks()
            return int(answer[9:12]), await self.reader.readexactly(int(told[b"content-length"]))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Died from error

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        await self.reader.readuntil(b"\r\n")
        return b"".join(parts)

    def close(self) -> None:
        self.writer.transport.abort()


@dataclass
class Process:
    """A gateway's configuration and, while it runs, its process."""

    folder: Path
    port: int
    admin_port: int
    workers: int
    token: str = ""
    child: Forked | None = None
    wires: list[Wire] = field(default_factory=list[Wire])  # closed with the process

    @property
    def data(self) -> DataDir:
        return DataDir(self.folder / "data")

    async def start(self) -> None:
        """Start it and wait until every worker answers, its siblings too."""
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "policies", "a2a"))}
        arguments = ["-c", str(self.folder / "gateway.yaml"), "up"]
        if self.workers > 1:
            arguments += ["--workers", str(self.workers)]
        with (self.folder / "output").open("ab") as output:
            self.child = Forked(GATEWAY, *arguments, env=environ, output=output.fileno())
        for _ in range(_CHANCES):
            with suppress(OSError, Died):
                if (await self.get("/healthz"))[0] == 200 and self._reachable() >= self.workers:
                    break
            assert self.child.poll() is None, self.log()
            await anyio.sleep(0.025)
        else:
            raise AssertionError("it does not serve: " + self.log())
        if not self.token:
            self.token = await self.fetch_token()

    def _reachable(self) -> int:
        """Return how many workers serve: one that answered, or of several those that their siblings can reach."""
        assert self.child is not None
        if self.workers == 1:
            return 1
        with suppress(psutil.Error):
            for worker in psutil.Process(self.child.pid).children():
                if directory := worker.environ().get(RUN_DIR):
                    return len(list(Path(directory).glob("*.sock")))
        return 0

    def log(self) -> str:
        """Return all that it ever wrote to its terminal."""
        return (self.folder / "output").read_text()

    async def kill(self) -> None:
        """Take it and its workers down at once, as a power cut would."""
        assert self.child is not None
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        await self.ended()

    def kill_workers(self) -> int:
        """Take its workers down at once, not itself; return how many there were."""
        assert self.child is not None
        workers = psutil.Process(self.child.pid).children()
        for worker in workers:
            worker.kill()
        return len(workers)

    async def stop(self) -> int:
        """Ask it to end; return its exit code."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended; return its exit code."""
        assert self.child is not None
        return await anyio.to_thread.run_sync(self.child.wait, abandon_on_cancel=True)

    async def connect(self, port: int = 0) -> Wire:
        """Open one connection to the data listener (or another port)."""
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port or self.port, limit=2**24))
        self.wires.append(wire)
        return wire

    async def get(self, path: str) -> tuple[int, bytes]:
        """Ask the admin listener."""
        wire = await self.connect(self.admin_port)
        try:
            return await wire.ask("GET", path, b"", {})
        finally:
            wire.close()

    async def fetch_token(self, agent: str = "planner", secret: str = PLANNER_SECRET, path: str = "/mcp") -> str:
        """Get a token as any OAuth client does."""
        basic = base64.b64encode(f"{agent}:{secret}".encode()).decode()
        headers = {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"}
        form = f"grant_type=client_credentials&resource=http://127.0.0.1:{self.port}{path}"
        wire = await self.connect()
        status, body = await wire.ask("POST", "/oauth/token", form.encode(), headers)
        wire.close()
        assert status == 200, body
        return msgspec.json.decode(body)["access_token"]

    async def call(
        self, wire: Wire, name: str, arguments: Mapping[str, object] = NOTHING, trace: str = ""
    ) -> dict[str, Any]:
        """Call a tool in the modern way and return the JSON-RPC answer."""
        params = {"name": name, "arguments": arguments, "_meta": META}
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        headers = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION,
            "mcp-method": "tools/call",
            "mcp-name": name,
        }
        if trace:
            headers["traceparent"] = f"00-{trace}-00000000000000aa-01"
        _, answer = await wire.ask("POST", "/mcp", body, headers)
        return msgspec.json.decode(answer)

    def records(self) -> Records:
        """Return every record in the log files."""
        return [dict(entry.record) for entry in records(self.data.audit)]

    def verify(self) -> Report:
        """Verify the log as an auditor does."""
        return verify_directory(self.data.audit, [signer_of(self.data, ORIGIN).verifier.vkey])

    def spent(self) -> dict[str, int]:
        """Return what each budget has booked, by the start of its bucket's name."""
        return {usage.bucket: usage.spent for usage in read_usage(self.data.ledger)}


@asynccontextmanager
async def process(folder: Path, config: str, workers: int = 1) -> AsyncGenerator[Process]:
    """Prepare a gateway as `support.gateways.gateway` does, not started; whatever runs ends with the block."""
    for name, text in FILES.items():
        file = folder / name.replace("__", ".")
        file.write_text(text)
        file.chmod(0o600)
    port, admin_port = free_ports(2)  # of one after the other the second may be the first
    found = Process(folder, port, admin_port, workers)
    listeners = (
        f"  data: {{host: 127.0.0.1, port: {found.port}, allowed_hosts: [localhost]}}\n"
        f"  admin: {{host: 127.0.0.1, port: {found.admin_port}, allowed_hosts: [localhost]}}\n"
    )
    head = f"version: 1\ndata_dir: ./data\nlisteners:\n{listeners}audit: {{origin: {ORIGIN}}}\n"
    (folder / "gateway.yaml").write_text(head + config)
    try:
        yield found
    finally:
        if found.child is not None and found.child.poll() is None:
            await found.kill()
        for wire in found.wires:
            wire.close()
        await checkpoint()
