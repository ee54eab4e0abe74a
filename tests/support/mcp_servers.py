"""Real MCP servers for tests: on the official SDK, in processes of their own, ended with the block."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Era = Literal["both", "legacy", "modern"]

MAIN = Path(__file__).with_name("mcp_server_main.py")
CATALOG = Path(__file__).with_name("mcp_catalog_main.py")  # prompts, resources, templates, completions
TOOLS = MAIN.read_text(encoding="utf-8").count("\n@server.tool(")  # that `MAIN` has


@dataclass(frozen=True)
class HttpServer:
    """A running server; `url` is its MCP endpoint, `era` what the gateway finds it to speak."""

    port: int
    process: subprocess.Popen[bytes]
    era: Literal["legacy", "modern"]
    is_json: bool

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"


def server_command(*flags: str, era: Era = "both", main: Path = MAIN) -> tuple[str, ...]:
    """Return command and arguments of the server on stdio."""
    return (sys.executable, str(main), "stdio", "--era", era, *flags)


@contextmanager
def start_http_server(
    *, era: Era = "both", is_json: bool = False, is_stateless: bool = False, main: Path = MAIN
) -> Generator[HttpServer]:
    """Run the server on a free loopback port until the block ends (starting takes a second or two: share it).

    era      `legacy` refuses modern requests with 400, as servers of that era do; `modern` the reverse
    is_json  answer with JSON instead of an event stream
    """
    flags = [flag for flag, is_on in (("--json", is_json), ("--stateless", is_stateless)) if is_on]
    command = [sys.executable, str(main), "http", "--era", era, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(b"PORT "), "the server did not start"
            yield HttpServer(int(line.split()[1]), process, "legacy" if era == "legacy" else "modern", is_json)
        finally:
            process.kill()


@contextmanager
def start_sse_server() -> Generator[str]:
    """Run the server over HTTP+SSE until the block ends; yield the URL of its event stream."""
    with subprocess.Popen([sys.executable, "-W", "ignore", str(MAIN), "sse"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(b"PORT "), "the server did not start"
            yield f"http://127.0.0.1:{int(line.split()[1])}/sse"
        finally:
            process.kill()


def raw_command(behaviour: str = "") -> tuple[str, ...]:
    """Return command and arguments of the small child that misbehaves on demand; see `raw_stdio_main`."""
    return (sys.executable, "-I", "-S", str(MAIN.with_name("raw_stdio_main.py")), behaviour)
