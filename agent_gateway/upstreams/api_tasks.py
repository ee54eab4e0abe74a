"""Work that an API accepted (202), as a task of MCP's extension: followed where the API said, once per question.

An id holds where to ask, below the registered origin and nothing else of it; the gateway seals ids to their
callers. Nothing is stored but what was said last, for a while and in this worker.
"""

import base64
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from agent_gateway.ports import Clock
from context_mesh.openapi.tool import Tool
from context_mesh.wire.address import origin_of
from context_mesh.wire.read import Answer, value_of
from context_mesh.wire.secrecy import HIDDEN
from mcp_registry.protocol import tasks

MAX_TARGET_CHARS: Final = 500
MAX_REMEMBERED: Final = 1_000  # tasks, by what was said of them last
MIN_WAIT_S: Final = 0.5
DEFAULT_WAIT_S: Final = 2.0
MAX_WAIT_S: Final = 300.0
LATER: Final = frozenset({429, 503})  # a question that came too often, or at a bad time

_MONITOR: Final = "operation-location"  # its resource tells of the work; `location` is the work itself
_WORKING: Final = frozenset(
    ("accepted", "created", "inprogress", "notstarted", "pending", "processing", "queued", "running", "started",
     "submitted", "updating", "working")
)  # fmt: skip
_CANCELLED: Final = frozenset(("canceled", "cancelled", "aborted"))
_FAILED: Final = frozenset(("failed", "error", "failure"))
_VARIABLE: Final = re.compile(r"\\\{([^{}]*)\\\}")


class Job(msgspec.Struct, array_like=True, frozen=True):
    """Where work is looked after.

    target      path and query on the API's origin
    is_monitor  whether what is there tells of the work, in a member `status`
    created     unix seconds
    """

    tool: str
    target: str
    is_monitor: bool
    created: float


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a task. `not_before` is when to ask again, unix seconds; 0 when there is nothing to ask."""

    status: str
    not_before: float = 0.0
    result: Mapping[str, object] | None = None
    message: str = ""

    @property
    def is_over(self) -> bool:
        return self.status in tasks.TERMINAL


def job_of(tool: str, answer: Answer, now: float) -> Job | None:
    """Return the work that a 202 announces; None when it does not say where, or somewhere else."""
    name = _MONITOR if _MONITOR in answer.headers else "location"
    target = target_on(answer, answer.headers.get(name, "")) if answer.status == 202 else ""
    return Job(tool, target, name == _MONITOR, now) if target else None


def target_on(answer: Answer, location: str) -> str:
    """Return path and query of a location on the answer's own origin, without secrets; empty for any other."""
    try:
        url = urljoin(answer.url, location)
        parts = urlsplit(url)
    except ValueError:
        return ""
    if not location or origin_of(url) != origin_of(answer.url):
        return ""
    query = "&".join(pair for pair in parts.query.split("&") if pair and HIDDEN not in pair)
    target = (parts.path or "/") + (f"?{query}" if query else "")
    is_odd = len(target) > MAX_TARGET_CHARS or HIDDEN in target or not target.isascii() or not target.isprintable()
    return "" if is_odd or target.startswith("//") else target


def id_of(job: Job) -> str:
    """Return a task's id."""
    return base64.urlsafe_b64encode(_ENCODER.encode(job)).decode().rstrip("=")


def job_in(text: str) -> Job | None:
    """Return the work that an id names, None for what is no id of ours."""
    try:
        job = _DECODER.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, msgspec.DecodeError):
        return None
    return job if job.target.startswith("/") and not job.target.startswith("//") else None


def judged(job: Job, answer: Answer, now: float) -> Told | None:
    """Return what an answer says of work that goes on, or ended without a result; None: it is the result."""
    if answer.status == 202 or answer.status in LATER:
        return Told("working", now + wait_s(answer))
    if not job.is_monitor or answer.status >= 300:
        return None
    value = value_of(answer)
    said = cast("dict[str, object]", value).get("status") if isinstance(value, dict) else None
    word = re.sub(r"[^a-z]", "", said.lower()) if isinstance(said, str) else ""
    if word in _WORKING:
        return Told("working", now + wait_s(answer), message=str(said)[:100])
    return Told("cancelled", message=str(said)[:100]) if word in _CANCELLED else None


def is_failed(job: Job, answer: Answer) -> bool:
    """Say whether a monitor tells that the work failed."""
    value = value_of(answer) if job.is_monitor else None
    said = cast("dict[str, object]", value).get("status") if isinstance(value, dict) else None
    return isinstance(said, str) and said.lower() in _FAILED


def wait_s(answer: Answer) -> float:
    """Return for how long an API wants to be left alone."""
    said = answer.headers.get("retry-after", "").strip()
    wanted = float(said) if said.isascii() and said.isdigit() and len(said) < 6 else DEFAULT_WAIT_S
    return min(max(wanted, MIN_WAIT_S), MAX_WAIT_S)


def shown(job: Job, told: Told, now: float) -> dict[str, object]:
    """Return a task object of the extension."""
    members: dict[str, object] = {
        tasks.TASK_ID: id_of(job),
        "status": told.status,
        "createdAt": _time(job.created),
        "lastUpdatedAt": _time(now),
        "ttlMs": None,
        "pollIntervalMs": int(max(told.not_before - now, MIN_WAIT_S) * 1000),
    }
    if told.message:
        members["statusMessage"] = told.message
    return members if told.result is None else {**members, "result": told.result}


class Remembered:
    """What was said last of each task, in this worker: who asks too early gets it again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: OrderedDict[tuple[tuple[str, ...], str], Told] = OrderedDict()

    def note(self, owner: tuple[str, ...], text: str, told: Told) -> None:
        self._told[owner, text] = told
        self._told.move_to_end((owner, text))
        while len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)

    def fresh(self, owner: tuple[str, ...], text: str) -> Told | None:
        """Return what was said last if it need not be asked again; results are not kept, so they are."""
        told = self._told.get((owner, text))
        if told is None or (told.status != "cancelled" and told.not_before <= self._clock()):
            return None
        return told


def deletion(job: Job, tools: Mapping[str, Tool], base_path: str) -> tuple[str, dict[str, object]] | None:
    """Return the tool that deletes what a job is looked after at, with its arguments; None when there is none."""
    path = urlsplit(job.target).path.removeprefix(base_path)
    for tool in tools.values():
        if tool.operation.method != "DELETE":
            continue
        names = _VARIABLE.findall(re.escape(tool.operation.path))
        found = re.fullmatch(_VARIABLE.sub("([^/]+)", re.escape(tool.operation.path)), path)
        by_wire = {
            one.parameter.name: one.name
            for one in tool.arguments
            if one.parameter is not None and one.parameter.location == "path" and one.name
        }
        wanted = [name.replace("\\", "") for name in names]
        if found is not None and all(name in by_wire for name in wanted):
            values = [unquote(value) for value in found.groups()]
            return tool.name, {
                by_wire[name]: _typed(tool, by_wire[name], value) for name, value in zip(wanted, values, strict=True)
            }
    return None


def _typed(tool: Tool, name: str, value: str) -> object:
    """Return a path value as the tool's schema takes it."""
    properties = cast("Mapping[str, Mapping[str, object]]", tool.full_schema.get("properties", {}))
    kind = properties.get(name, {}).get("type")
    return int(value) if kind == "integer" and value.isascii() and value.isdigit() and len(value) < 16 else value


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Job)
