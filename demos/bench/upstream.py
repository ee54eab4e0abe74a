"""The stub upstream: compiled when a C compiler is there, else in Python; the same answers either way."""

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from demos.bench import serving

HERE = Path(__file__).parent
COMPILE_TIMEOUT_S = 60.0
START_S = 15.0
STUB_TEXT = "hello from the stub tool"  # in every answer to tools/call, and in no refusal

Variant = Literal["c", "python"]


@dataclass(frozen=True, slots=True)
class Stub:
    variant: Variant
    port: int
    server: serving.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"


def compiled(scratch: Path) -> Path | None:
    """Return the stub compiled into `scratch`, or None where there is no compiler or no epoll."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or platform.system() != "Linux":
        return None
    program = scratch / "stub"
    done = subprocess.run(
        [compiler, "-O2", "-o", str(program), str(HERE / "stub.c")],
        capture_output=True,
        timeout=COMPILE_TIMEOUT_S,
        check=False,
    )
    return program if done.returncode == 0 else None


def start(scratch: Path, *, core: int | None, variant: Variant | None = None) -> Stub:
    """Start the stub on a free port.

    variant  None: compiled when possible. Raises `Missing` when `c` is asked for and cannot be,
             and `StartFailed` when it does not listen.
    """
    program = None if variant == "python" else compiled(scratch)
    if variant == "c" and program is None:
        raise serving.Missing("no C compiler, or no epoll")
    argv = [str(program), "0"] if program else [sys.executable, str(HERE / "stub.py"), "0"]
    server = serving.start("stub", argv, scratch=scratch, core=core)
    serving.wait_until(server, lambda: "listening" in server.last_words(), within_s=START_S)
    return Stub("c" if program else "python", int(server.last_words().split()[1]), server)
