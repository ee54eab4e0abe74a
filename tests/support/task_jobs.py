"""What a server of tasks does behind its wire: jobs that run, ask, end and are cancelled; of neither era.

The tools are those that the conformance suite's `tasks-*` scenarios name.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

Json = dict[str, Any]
TTL_MS: Final = 600_000
POLL_MS: Final = 20
TERMINAL: Final = ("completed", "failed", "cancelled")


class Fault(Exception):
    """A job that ends with an error of the protocol."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error: Json = {"code": code, "message": message}


@dataclass(eq=False)
class Job:
    """One task.

    asked    what waits for an answer, by key
    changed  is replaced by each change, and set
    """

    tool: str
    id: str = field(default_factory=lambda: f"job-{secrets.token_hex(8)}")
    status: str = "working"
    result: Json | None = None
    error: Json | None = None
    created: str = field(default_factory=lambda: _now())
    updated: str = field(default_factory=lambda: _now())
    asked: dict[str, Json] = field(default_factory=dict[str, Json])
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    work: "asyncio.Task[None] | None" = None
    _answers: "dict[str, asyncio.Future[Json]]" = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    def begin(self, tool: "Tool", arguments: Mapping[str, Any]) -> None:
        """Start the work."""

        async def run() -> None:
            try:
                result = await tool(self, arguments)
            except Fault as fault:
                self.end("failed", error=fault.error)
            else:
                self.end("completed", result=result)

        self.work = asyncio.get_running_loop().create_task(run())

    def end(self, status: str, *, result: Json | None = None, error: Json | None = None) -> None:
        """End it, unless it is over."""
        if not self.is_over:
            self.result, self.error = result, error
            self.asked.clear()
            self.change(status)

    def cancel(self) -> None:
        """End it before its work is done."""
        self.end("cancelled")
        if self.work is not None:
            self.work.cancel()

    def change(self, status: str) -> None:
        """Take another status, and tell who waits."""
        self.status, self.updated = status, _now()
        self.changed.set()
        self.changed = asyncio.Event()

    async def elicit(self, message: str, properties: Json) -> Json:
        """Ask the client; return its whole answer."""
        key = f"ask-{next(self._numbers)}"
        schema = {"type": "object", "properties": properties}
        self.asked[key] = {
            "method": "elicitation/create",
            "params": {"mode": "form", "message": message, "requestedSchema": schema},
        }
        answer = self._answers[key] = asyncio.get_running_loop().create_future()
        self.change("input_required")
        return await answer

    def answer(self, key: str, response: Json) -> None:
        """Take an answer; one that nobody asked for is passed over."""
        if self.asked.pop(key, None) is not None:
            self._answers.pop(key).set_result(response)
            self.change("input_required" if self.asked else "working")


Tool = Callable[[Job, Mapping[str, Any]], Awaitable[Json]]


def text(value: str, *, is_error: bool = False) -> Json:
    """Return a tool's result."""
    return {"content": [{"type": "text", "text": value}], "isError": is_error}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- the suite's tools -----------------------------------------------------------------------


async def slow_compute(_: Job, arguments: Mapping[str, Any]) -> Json:
    await asyncio.sleep(float(arguments.get("seconds", 0)))
    return text(f"computed {arguments.get('label', '')}")


async def failing_job(_: Job, arguments: Mapping[str, Any]) -> Json:
    del arguments
    await asyncio.sleep(0.05)
    return text("the job failed", is_error=True)


async def protocol_error_job(_: Job, arguments: Mapping[str, Any]) -> Json:
    del arguments
    await asyncio.sleep(0.05)
    raise Fault(-32603, "the job broke")


async def confirm_delete(job: Job, arguments: Mapping[str, Any]) -> Json:
    answer = await job.elicit(f"Delete {arguments.get('filename')}?", {"confirm": {"type": "boolean"}})
    return text(f"{answer.get('action')}: {arguments.get('filename')}")


async def multi_input(job: Job, arguments: Mapping[str, Any]) -> Json:
    del arguments
    name = {"name": {"type": "string"}}
    first, second = await asyncio.gather(job.elicit("Your name?", name), job.elicit("Are you sure?", name))
    return text(f"{first.get('action')}, {second.get('action')}")


async def named(_: Job, arguments: Mapping[str, Any]) -> Json:
    return text(f"hello {arguments.get('user_name', '')}")


@dataclass(frozen=True)
class Offer:
    """A tool, and whether it runs as a task: `forbidden`, `optional` or `required`."""

    run: Tool
    support: str = "optional"
    properties: Json = field(default_factory=dict[str, Any])


async def greet(_: Job, arguments: Mapping[str, Any]) -> Json:
    return text(f"Hello, {arguments.get('name', '')}!")


OFFERS: Final[Mapping[str, Offer]] = {
    "greet": Offer(greet, "forbidden", {"name": {"type": "string"}}),
    "slow_compute": Offer(slow_compute, properties={"seconds": {"type": "number"}, "label": {"type": "string"}}),
    "failing_job": Offer(failing_job, "required"),
    "protocol_error_job": Offer(protocol_error_job),
    "confirm_delete": Offer(confirm_delete, properties={"filename": {"type": "string"}}),
    "multi_input": Offer(multi_input),
    "test_tool_with_task": Offer(named, "required"),
}
