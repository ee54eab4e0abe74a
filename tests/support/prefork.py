"""Processes that start in a moment: forked from one that has imported their program and done nothing else.

To import an SDK takes most of a second of processor time, and tests start some hundred programs on it. What runs is
the program's own `main`, in a process, session and environment of its own; only the imports are shared.

`command` gives a command line for whoever starts programs. The process it starts is a small one (`prefork_run`) that
hands over its streams, environment and folder, passes signals on, and ends as the program ends; when it is killed, the
program is. `Forked` is such a process seen from the test itself: killing it kills the program at once.

    python prefork.py SOCKET MODULE [MODULE ...]   serve forks of the first module's `main`, with all of them imported
"""

import atexit
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from types import FrameType
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
RUN = Path(__file__).with_name("prefork_run.py")
GATEWAY = ("agent_gateway.cli.main", "agent_gateway.cli.up", "agent_gateway.cli.up_alone", "agent_gateway.cli.stdio")
MAX_ASKED = 1 << 20  # bytes of argv, environment and folder

Program = tuple[str, ...]


# --- the test's side -------------------------------------------------------------------------

_sockets: dict[Program, str] = {}
_starting = Lock()


def command(program: Program, *arguments: str) -> tuple[str, ...]:
    """Return a command that runs `program`'s `main` with `arguments`.

    program  its module, then what else is to be imported beforehand
    """
    return (sys.executable, "-I", "-S", str(RUN), served(program), program[0], *arguments)


def served(program: Program) -> str:
    """Return the socket where `program` is forked from; whoever serves it ends with this process."""
    with _starting:
        if program not in _sockets:
            place = tempfile.mkdtemp(prefix="prefork-")
            path = os.path.join(place, "socket")
            paths = os.pathsep.join(str(ROOT / part) for part in (".", "policies", "a2a", "tests"))
            server = subprocess.Popen(
                [sys.executable, "-W", "ignore", __file__, path, *program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,
            )
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n", f"{program[0]} cannot be imported"
            atexit.register(_end, server, place)
            _sockets[program] = path
        return _sockets[program]


def _end(server: "subprocess.Popen[bytes]", place: str) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.close()
    server.stdout.close()
    server.wait()
    for path in Path(place).iterdir():
        path.unlink()
    Path(place).rmdir()


class Forked:
    """A program that was started here. `returncode` is None while it runs, negative when a signal ended it."""

    def __init__(self, program: Program, *arguments: str, env: Mapping[str, str], output: int) -> None:
        """Start it, in this process's folder, with `output` (a file descriptor) for both of its output streams."""
        self._told = socket.socket(socket.AF_UNIX)
        self._told.connect(served(program))
        with open(os.devnull) as nothing:
            hand_over(self._told, [program[0], *arguments], env, [nothing.fileno(), output, output])
        self._lines = self._told.makefile("r", encoding="ascii")
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal to the program alone; nothing happens once it has ended."""
        tell_signal(self._told, number)

    def kill(self) -> None:
        """Kill the program alone."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """Return how it ended, once it has and nothing of it is left but its children."""
        if self.returncode is None:
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._told.close()
        return self.returncode


def hand_over(told: socket.socket, argv: Sequence[str], env: Mapping[str, str], streams: Sequence[int]) -> None:
    """Ask for a process with these arguments and standard streams."""
    asked = json.dumps({"argv": list(argv), "env": dict(env), "cwd": os.getcwd()}).encode()
    socket.send_fds(told, [len(asked).to_bytes(4, "big")], list(streams))
    told.sendall(asked)


def tell_signal(told: socket.socket, number: int) -> None:
    """Ask for a signal to be sent."""
    with suppress(OSError):  # it has ended
        told.sendall(bytes([number]))


# --- the server's side -----------------------------------------------------------------------


class Server:
    """Forks on demand, tells how each process ended, and kills those that nobody holds any more."""

    def __init__(self, path: str, control: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._control = control
        self._wake, writing = socket.socketpair()
        for one in (self._wake, writing):
            one.setblocking(False)
        self._writing = writing
        self._holders: dict[int, socket.socket] = {}  # by process id
        signal.signal(signal.SIGCHLD, _woken)  # one that is ignored would wake nobody
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def serve(self) -> list[str] | None:
        """Serve until the control stream ends. Returns twice: in each child the argv it runs with, None at the end."""
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake, selectors.EVENT_READ, self._reap)
        self._selector.register(self._control, selectors.EVENT_READ, None)
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    for pid in self._holders:
                        os.kill(pid, signal.SIGKILL)
                    return None
                found = key.data()
                if found is not None:
                    return found

    def _accept(self) -> list[str] | None:
        told, _ = self._listener.accept()
        head, streams, _, _ = socket.recv_fds(told, 4, 3)
        if len(head) < 4 or len(streams) < 3:
            told.close()
            return None
        size = int.from_bytes(head, "big")
        assert size <= MAX_ASKED
        asked = b""
        while len(asked) < size and (chunk := told.recv(size - len(asked))):
            asked += chunk
        if len(asked) < size:  # who asked is gone already
            for stream in streams:
                os.close(stream)
            told.close()
            return None
        wanted = json.loads(asked)
        pid = os.fork()
        if pid == 0:
            self._become(wanted, streams, told)
            return list(wanted["argv"])
        for stream in streams:
            os.close(stream)
        told.sendall(b"%d\n" % pid)
        self._holders[pid] = told
        self._selector.register(told, selectors.EVENT_READ, lambda: self._hear(pid, told))
        return None

    def _become(self, wanted: Mapping[str, Any], streams: Sequence[int], told: socket.socket) -> None:
        """Make the forked process one that has nothing of the server's."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        for one in (told, self._listener, self._wake, self._writing, *self._holders.values()):
            one.close()
        self._selector.close()
        os.close(self._control)
        os.environ.clear()
        os.environ.update(wanted["env"])
        os.chdir(wanted["cwd"])

    def _hear(self, pid: int, told: socket.socket) -> None:
        if self._holders.get(pid) is not told:
            return  # its end was noticed in the same step
        numbers = _received(told)
        for number in numbers or bytes([signal.SIGKILL]):  # who leaves takes the program along
            if pid in self._holders:
                os.kill(pid, number)
        if not numbers:
            self._selector.unregister(told)

    def _reap(self) -> None:
        _received(self._wake)
        while self._holders:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            told = self._holders.pop(pid)
            if told in [key.fileobj for key in self._selector.get_map().values()]:
                self._selector.unregister(told)
            with suppress(OSError):  # it was killed because nobody holds it
                told.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            told.close()


def _woken(number: int, frame: FrameType | None) -> None:
    """Do nothing: the byte that the signal wrote is enough."""


def _received(one: socket.socket) -> bytes:
    try:
        return one.recv(4096)
    except OSError:
        return b""


def main(path: str, modules: Sequence[str]) -> int:
    program: Callable[[], object] = next(import_module(name) for name in modules).main
    for name in modules[1:]:
        import_module(name)
    control = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    server = Server(path, control)
    os.write(1, b"ready\n")
    for number in (0, 1):
        os.dup2(nothing, number)
    os.close(nothing)
    argv = server.serve()
    if argv is not None:
        _run(program, argv)
    return 0


def _run(program: Callable[[], object], argv: list[str]) -> NoReturn:
    """Run it and end; to take all that was imported apart once more would take longer than the program does."""
    sys.argv = argv
    code: object = 0
    try:
        program()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 -- what a program ends with is its own affair, and told as Python tells it
        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
