"""One run of code: a child started, its calls made one by one, and the child gone at the end whatever happened."""

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from agent_gateway.telemetry.logs import log
from gateway_policies.refusal import TooMuch, Unavailable

CHILD: Final = Path(__file__).with_name("child.py")
MAX_LINE: Final = 8 * 1024 * 1024
MAX_ERROR_CHARS: Final = 2_000

Invoke = Callable[[str, Mapping[str, object]], Awaitable[object]]  # raises `CallFailed`


class CallFailed(Exception):
    """A call that the code made was refused, or its tool failed; the words are for the code."""


@dataclass(frozen=True, slots=True)
class CodeLimits:
    """What one run may take.

    wall_s         all of it, calls included
    cpu_s          of the interpreter, while code runs
    calls          in all; `at_once` of them at a time
    runs           at a time, of one worker; `runs_per_caller` of them for one caller
    """

    wall_s: float = 60.0
    cpu_s: float = 5.0
    memory_bytes: int = 64 * 1024 * 1024
    calls: int = 50
    at_once: int = 4
    printed_bytes: int = 20_000
    code_chars: int = 20_000
    runs: int = 4
    runs_per_caller: int = 2


@dataclass(frozen=True, slots=True)
class CodeOutcome:
    """How a run ended: with a JSON value, or with why it failed."""

    value: object = None
    failure: str = ""
    printed: str = ""


def is_installed() -> bool:
    """Say whether the sandbox is there: the extra `code`."""
    return importlib.util.find_spec("pydantic_monty") is not None


class CodeRunner:
    """The runs of one worker."""

    def __init__(self, limits: CodeLimits | None = None) -> None:
        self.limits = limits or CodeLimits()
        self._running: Counter[Hashable] = Counter()  # by caller

    async def run(self, code: str, invoke: Invoke, caller: Hashable = None) -> CodeOutcome:
        """Run code to its end.

        invoke  makes one call; raises `CallFailed` with words for the code
        Raises `TooMuch` beyond `runs` at a time or the caller's own, and `Unavailable` without the sandbox.
        """
        if self._running.total() >= self.limits.runs or self._running[caller] >= self.limits.runs_per_caller:
            raise TooMuch("too many runs of code at a time here", hint="try again soon")
        if not is_installed():
            raise Unavailable("no sandbox for code is installed here", hint="an operator can install the extra `code`")
        self._running[caller] += 1
        try:
            async with asyncio.timeout(self.limits.wall_s):
                return await self._run(code, invoke)
        except TimeoutError:
            return CodeOutcome(failure=f"the run takes more than {self.limits.wall_s:g} seconds")
        finally:
            self._running[caller] -= 1
            self._running += Counter()  # forgets who has none

    async def _run(self, code: str, invoke: Invoke) -> CodeOutcome:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(CHILD),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={}, cwd="/", start_new_session=True, limit=MAX_LINE,
        )  # fmt: skip
        calls: set[asyncio.Task[None]] = set()
        try:
            await _tell(child, {"code": code, "limits": _limits(self.limits)})
            return await self._hear(child, invoke, calls)
        except (OSError, ValueError, RecursionError):
            return CodeOutcome(failure="the sandbox broke off")
        finally:
            for task in calls:
                task.cancel()
            await _end(child)
            await asyncio.gather(*calls, return_exceptions=True)

    async def _hear(
        self, child: asyncio.subprocess.Process, invoke: Invoke, calls: set[asyncio.Task[None]]
    ) -> CodeOutcome:
        assert child.stdout is not None
        count = 0
        while line := await child.stdout.readline():
            said = cast("dict[str, Any]", json.loads(line))
            if "call" in said:
                count += 1
                if count > self.limits.calls or len(calls) >= self.limits.at_once * 2:
                    return CodeOutcome(failure=f"the code makes more than {self.limits.calls} calls")
                task = asyncio.ensure_future(_answered(child, said, invoke))
                calls.add(task)
                task.add_done_callback(calls.discard)
                task.add_done_callback(lambda done: done.cancelled() or done.exception())  # it has been told
                continue
            printed = str(said.get("printed", ""))[: self.limits.printed_bytes]
            return CodeOutcome(said.get("done"), str(said.get("failed", "")), printed)
        return CodeOutcome(failure="the sandbox broke off")


async def _answered(child: asyncio.subprocess.Process, said: Mapping[str, Any], invoke: Invoke) -> None:
    """Make one call of the code, and tell the code what came of it."""
    try:
        value = await invoke(str(said["name"]), cast("Mapping[str, object]", said["arguments"]))
    except CallFailed as failed:
        await _tell(child, {"answer": said["call"], "error": str(failed)[:MAX_ERROR_CHARS]})
        return
    except Exception:
        log(logging.ERROR, "a call of code failed inside the gateway", exc_info=True)
        await _tell(child, {"answer": said["call"], "error": "the gateway failed on this call"})
        raise
    answer = json.dumps({"answer": said["call"], "value": value}).encode()
    if len(answer) >= MAX_LINE:
        answer = json.dumps({"answer": said["call"], "error": "the tool's answer is too large for code"}).encode()
    await _write(child, answer)


async def _tell(child: asyncio.subprocess.Process, message: Mapping[str, object]) -> None:
    await _write(child, json.dumps(message).encode())


async def _write(child: asyncio.subprocess.Process, line: bytes) -> None:
    assert child.stdin is not None
    with contextlib.suppress(ConnectionError):  # who has gone is told nothing
        child.stdin.write(line + b"\n")
        await child.stdin.drain()


async def _end(child: asyncio.subprocess.Process) -> None:
    """End the child and all of its group, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # it leads its own session and group
    await child.wait()


def _limits(limits: CodeLimits) -> dict[str, object]:
    return {
        "cpu_s": limits.cpu_s, "memory_bytes": limits.memory_bytes, "calls": limits.calls, "at_once": limits.at_once,
        "printed_bytes": limits.printed_bytes,
    }  # fmt: skip
