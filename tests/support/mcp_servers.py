"""Real MCP servers for tests: on the official SDK, in processes of their own, ended with the block."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from support.prefork import Program, command

Era = Literal["both", "legacy", "modern"]

SDK: Program = ("support.mcp_server_main",)
CATALOG: Program = ("support.mcp_catalog_main",)  # prompts, resources, templates, completions
TOOLS = Path(__file__).with_name("mcp_server_main.py").read_text(encoding="utf-8").count("\n@server.tool(")  # of `SDK`


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


def server_command(*flags: str, era: Era = "both", program: Program = SDK) -> tuple[str, ...]:
    """Return command and arguments of the server on stdio, for as long as this process lives."""
    return command(program, "stdio", "--era", era, *flags)


@contextmanager
def start_http_server(
    *, era: Era = "both", is_json: bool = False, is_stateless: bool = False, program: Program = SDK
) -> Generator[HttpServer]:
    """Run the server on a free loopback port until the block ends.

    era      `legacy` refuses modern requests with 400, as servers of that era do; `modern` the reverse
    is_json  answer with JSON instead of an event stream
    """
    flags = [flag for flag, is_on in (("--json", is_json), ("--stateless", is_stateless)) if is_on]
    with subprocess.Popen(command(program, "http", "--era", era, *flags), stdout=subprocess.PIPE) as process:
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
    with subprocess.Popen(command(SDK, "sse"), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(b"PORT "), "the server did not start"
            yield f"http://127.0.0.1:{int(line.split()[1])}/sse"
        finally:
            process.kill()


def raw_command(behaviour: str = "") -> tuple[str, ...]:
    """Return command and arguments of the small child that misbehaves on demand; see `raw_stdio_main`."""
    return (sys.executable, "-I", "-S", str(Path(__file__).with_name("raw_stdio_main.py")), behaviour)
