"""One child that speaks MCP on its stdin and stdout: many requests at once, each answer to its asker.

Callbacks read the pipes; a request waits for its own messages only. Which era the
child speaks, and starting another one after it died, is the work of `mcp_stdio`.
A shared child is never slowed by one caller: what a slow one does not take is dropped
(progress and log messages only, `max_notifications` later).
"""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from msgspec import Raw

from agent_gateway.ports import Heard
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.asking import Questions, Running, asked_of, only_caller
from agent_gateway.upstreams.h1_response import died
from agent_gateway.upstreams.settings import UpstreamLimits
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable
from mcp_registry.protocol import envelope
from mcp_registry.protocol.envelope import Notification, Request, Response
from mcp_registry.protocol.progress import CANCELLED
from mcp_registry.protocol.subscriptions import CHANGES, subscription_of

_LAUNCHER: Final = Path(__file__).with_name("stdio_launch.py")
_STDIN, _STDOUT = 0, 1


class _Waiting:
    """The messages for one running request, in order; the answer is the last."""

    __slots__ = ("_items", "_waker", "failure", "running")

    def __init__(self, running: Running) -> None:
        self.running = running
        self._items: deque[tuple[Notification | Response, int]] = deque()
        self._waker: asyncio.Future[None] | None = None
        self.failure: UpstreamFailed | None = None

    def push(self, message: Notification | Response, size_bytes: int, limit: int) -> None:
        if isinstance(message, Response) or len(self._items) < limit:
            self._items.append((message, size_bytes))
            self._wake()

    def fail(self, failure: UpstreamFailed) -> None:
        self.failure = failure
        self._wake()

    async def next(self) -> tuple[Notification | Response, int]:
        while not self._items:
            if self.failure is not None:
                raise self.failure
            self._waker = asyncio.get_running_loop().create_future()
            await self._waker
        return self._items.popleft()

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)


class Child(asyncio.SubprocessProtocol):
    """A running child; made by `start`.

    on_end  called once when it ends without having been told to
    """

    def __init__(self, limits: UpstreamLimits) -> None:
        self.used_at = 0.0
        self.is_ending = False
        self.answers_requests = False  # legacy: it may ask us things, and is answered
        self.log: deque[str] = deque(maxlen=limits.max_log_lines)
        self._limits = limits
        self._calls: dict[bytes, _Waiting] = {}
        self._questions = Questions(self._respond)
        self.heard: Heard = lambda _, __: None  # takes changes, which belong to no request
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._pieces: list[bytes] = []  # of a line that has no end yet
        self._size = 0
        self._garbage = 0
        self._log_rest = b""
        self.exited = asyncio.Event()
        self._is_over = False
        self.on_end: Callable[[], None] | None = None
        self.pid = 0

    @property
    def inflight(self) -> int:
        return sum(not one.running.is_listening for one in self._calls.values())

    @property
    def is_alive(self) -> bool:
        return not self._is_over

    async def ask(self, body: bytes, running: Running) -> tuple[Response, int]:
        """Write a request and return its answer with its size; other messages of it go to its sink.

        Ended early, the child is told that nobody waits for it any more. Raises
        `UpstreamUnreachable` when nothing was written, `UpstreamFailed` (`upstream_died`) else.
        """
        if self._is_over or self.is_ending:
            raise UpstreamUnreachable("the upstream's process is not running")
        if len(self._calls) >= self._limits.max_inflight or self._unwritten() > self._limits.max_unwritten:
            raise UpstreamUnreachable("too many requests run at this upstream", code="upstream_busy", retry_after_s=1.0)
        id_raw = running.id
        waiting = self._calls[id_raw] = _Waiting(running)
        is_answered = False
        try:
            self._write(body)
            while True:
                message, size_bytes = await waiting.next()
                if isinstance(message, Response):
                    is_answered = True
                    return message, size_bytes
                await speak.deliver(message, id_raw, running.sink)
        finally:
            del self._calls[id_raw]
            if running.may_be_asked and not any(one.running.may_be_asked for one in self._calls.values()):
                self._questions.close()
            if not is_answered:
                self.tell(speak.cancelled(id_raw))

    def tell(self, body: bytes) -> None:
        """Write a message that has no answer, unless the child does not read."""
        if not self._is_over and self._unwritten() <= self._limits.max_unwritten:
            self._write(body)

    async def stop(self, grace_s: float) -> None:
        """End the child and its whole process group: first politely, then by force; it is reaped."""
        self.is_ending = True
        self._over(UpstreamFailed("this upstream was removed"))
        if self._transport is None:
            return
        if self._stdin is not None:
            self._stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if await self._exits_within(grace_s / 2):
                break
            self._signal(number)
        await self.exited.wait()
        self._transport.close()

    # --- asyncio.SubprocessProtocol --------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(_STDIN))
        self.pid = self._transport.get_pid() or 0

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != _STDOUT:
            self._keep_log(data)
            return
        *ended, rest = data.split(b"\n")
        for piece in ended:
            if self._keep(piece):
                self._take(b"".join(self._pieces))
            self._pieces.clear()
            self._size = 0
        if not self._keep(rest):
            self._pieces.clear()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == _STDOUT:
            self._kill(died("the upstream's process closed its output"))

    def process_exited(self) -> None:
        self.exited.set()
        self._over(died("the upstream's process ended"))
        self._signal(signal.SIGKILL)  # children of its own do not outlive it
        self.pid = 0  # the number may soon be another's

    # --- inside ----------------------------------------------------------------------------

    def _keep(self, piece: bytes) -> bool:
        """Keep a piece of the current line; return whether the line still fits, and end the child if not."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size <= self._limits.max_result:
            return True
        limit = self._limits.max_result
        self._kill(UpstreamFailed(f"the upstream wrote a line of more than {limit} bytes", code="upstream_too_large"))
        return False

    def _take(self, line: bytes) -> None:
        if not line.strip() or self._is_over:
            return
        message = envelope.read_answer(line)
        if isinstance(message, Response):
            self._garbage = 0
            waiting = self._calls.get(message.id or b"")
            if waiting is not None:
                waiting.push(message, len(line), self._limits.max_notifications)
        elif isinstance(message, Notification):
            self._garbage = 0
            waiting = self._meant(message)
            if waiting is not None:
                waiting.push(message, len(line), self._limits.max_notifications)
        elif isinstance(message, Request):
            self._garbage = 0
            if self.answers_requests:
                self._put(message)
        else:
            self._garbage += 1
            if self._garbage > self._limits.max_garbage_lines:
                self._kill(UpstreamFailed("the upstream's process does not speak MCP", code="upstream_garbage"))

    def _meant(self, message: Notification) -> _Waiting | None:
        """Return the request a notification belongs to, None when that is not sure: nothing crosses between callers."""
        if message.method == "notifications/progress":
            token = message.params.get("progressToken")
            return self._calls.get(bytes(token)) if token is not None else None
        if message.method == CANCELLED:
            self._questions.withdraw(bytes(message.params.get("requestId", b"")))
            return None
        tag = subscription_of(message.params)
        if tag is not None:
            return self._calls.get(tag)
        if message.method in CHANGES:
            params = Raw(envelope.write(message.params)) if message.params else None
            self.heard(message.method, params)
            return None
        only = only_caller([one.running for one in self._calls.values()])
        return None if only is None else self._calls[only.id]

    def _put(self, question: Request) -> None:
        if len(self._questions) >= self._limits.max_server_requests:
            self._kill(UpstreamFailed("the upstream's process asks too much", code="upstream_garbage"))
        else:
            self._questions.put(question, asked_of([one.running for one in self._calls.values()]))

    async def _respond(self, body: bytes) -> None:
        self.tell(body)

    def _write(self, body: bytes) -> None:
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(body + b"\n")

    def _unwritten(self) -> int:
        return 0 if self._stdin is None else self._stdin.get_write_buffer_size()

    def _keep_log(self, data: bytes) -> None:
        limit = self._limits.max_log_line
        *lines, rest = (self._log_rest + data).split(b"\n")
        self.log.extend(line[:limit].decode(errors="replace").rstrip() for line in lines)
        self._log_rest = rest[:limit]

    def _kill(self, failure: UpstreamFailed) -> None:
        if not self._is_over:
            self._over(failure)
            self._signal(signal.SIGKILL)

    def _over(self, failure: UpstreamFailed) -> None:
        was_over, self._is_over = self._is_over, True
        self._questions.close()
        for waiting in self._calls.values():
            if waiting.failure is None:
                waiting.fail(failure)
        if not was_over and not self.is_ending and self.on_end is not None:
            self.on_end()

    def _signal(self, number: signal.Signals) -> None:
        if self.pid > 1:
            try:
                os.killpg(self.pid, number)  # the child leads its own session and group
            except (ProcessLookupError, PermissionError):
                return

    async def _exits_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.exited.wait()
        except TimeoutError:
            return False
        return True


async def start(command: Sequence[str], env: Mapping[str, str], cwd: str | None, limits: UpstreamLimits) -> Child:
    """Start `command` without a shell, in its own session; it dies when this process does (Linux).

    env  the whole environment of the child
    Raises `UpstreamUnreachable` when the process cannot be made; a command that is not there shows as a
    child that ends at once, with the reason in its log.
    """
    argv = list(command)
    if sys.platform == "linux" and sys.executable:
        argv = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *argv]
    loop = asyncio.get_running_loop()
    child = Child(limits)
    spawning = asyncio.ensure_future(
        loop.subprocess_exec(lambda: child, *argv, env=dict(env), cwd=cwd, start_new_session=True)
    )
    try:
        await asyncio.shield(spawning)
    except OSError as error:
        raise UpstreamUnreachable("the upstream's process cannot be started") from error
    except asyncio.CancelledError:
        await asyncio.wait([spawning])  # a start that is cancelled half way leaves a process behind
        if spawning.exception() is None:
            await child.stop(0.0)
        raise
    return child
