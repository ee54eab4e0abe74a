"""Serving processes of a run: started on their core, waited for, ended with everything below them."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from demos.bench import machine

STOP_S = 5.0  # a process gets this long to end by itself
POLL_S = 0.05
LAST_BYTES = 800  # of a log, for a failure
ANSWER_BYTES = 1 << 20


class Missing(Exception):
    """This machine lacks what a system needs; the message says what. The system is skipped by name."""


class StartFailed(Exception):
    """A system that should start did not; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Server:
    """A running process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def last_words(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-LAST_BYTES:].strip()


def start(
    name: str, argv: Sequence[str], *, scratch: Path, core: int | None, env: Mapping[str, str] | None = None
) -> Server:
    """Start a program in its own session on `core`, output to a log in `scratch`.

    Its standard input is a pipe that this process holds: a stub ends when we do.
    Raises `StartFailed` when there is no such program.
    """
    log = scratch / f"{name}.log"
    with log.open("wb") as out, machine.started_on(core):
        try:
            process = subprocess.Popen(
                argv, cwd=scratch, env=env, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )
        except OSError as error:
            raise StartFailed(f"{name} did not start: {error.strerror}") from None
    return Server(name, process, log)


def wait_until(server: Server, is_ready: Callable[[], bool], *, within_s: float) -> None:
    """Return once `is_ready`; end the server and raise `StartFailed` when it dies or takes too long."""
    deadline = time.monotonic() + within_s
    while not is_ready():
        if server.process.poll() is not None or time.monotonic() > deadline:
            how = "ended" if server.process.poll() is not None else f"was not ready within {within_s:.0f} s"
            stop(server)
            raise StartFailed(f"{server.name} {how}; its last words: {server.last_words() or '(none)'}")
        time.sleep(POLL_S)


def stop(server: Server) -> None:
    """End the process and all below it: asked first, killed after `STOP_S`."""
    below = machine.tree(server.pid)
    if server.process.stdin is not None:
        server.process.stdin.close()
    server.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(STOP_S)
    for process in below:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    server.process.wait()


def post(url: str, headers: Mapping[str, str], body: str, *, timeout_s: float = 10.0) -> Answer:
    """Return the answer to one POST, whatever its status; raise `OSError` when there is none."""
    request = urllib.request.Request(url, body.encode(), dict(headers), method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return Answer(response.status, response.read(ANSWER_BYTES).decode(errors="replace"))
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.read(ANSWER_BYTES).decode(errors="replace"))


def listens(port: int) -> bool:
    """Return whether something accepts connections on the loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
