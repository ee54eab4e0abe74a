"""A task of an agent as MCP's extension shows it, and what the agent wants to know as an elicitation.

A handle names the agent's task to whoever calls on with it; the gateway seals handles to their callers.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from a2a_gateway import raw
from a2a_gateway.answers import State
from agent_gateway.upstreams.agent_outcome import Outcome, result_of, text_of
from mcp_registry.protocol import tasks
from mcp_registry.protocol.questions import ELICIT, INPUT_REQUIRED, REQUEST_STATE, Question, may_be_asked

ANSWER: Final = "answer"  # the one question of an agent, and the one member of its form
POLL_MS: Final = 1000
MAX_HANDLE_CHARS: Final = tasks.MAX_ID_CHARS
_FORM: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {ANSWER: {"type": "string"}},
    "required": [ANSWER],
}
_STATUS: Final[Mapping[State, str]] = {
    State.COMPLETED: "completed",
    State.FAILED: "completed",  # a tool that failed has a result that says so
    State.REJECTED: "completed",
    State.CANCELED: "cancelled",
    State.INPUT_REQUIRED: "input_required",
}


class Handle(msgspec.Struct, array_like=True, frozen=True):
    """Where a conversation stands: the agent's task and context, the tool that began it, when (unix seconds)."""

    tool: str
    task: str
    context: str
    created: float


def text_of_handle(handle: Handle) -> str:
    """Return a handle as text, empty when the agent's ids are too long for one."""
    text = base64.urlsafe_b64encode(_ENCODER.encode(handle)).decode().rstrip("=")
    return text if len(text) <= MAX_HANDLE_CHARS else ""


def handle_in(text: object) -> Handle | None:
    """Return what a text stands for, None for no handle of ours."""
    try:
        return _DECODER.decode(base64.urlsafe_b64decode(str(text) + "=" * (-len(str(text)) % 4)))
    except (ValueError, msgspec.DecodeError):
        return None


def can_ask(capabilities: Raw | None) -> bool:
    """Say whether a caller that declared these capabilities can be asked in a form."""
    return capabilities is not None and may_be_asked(Question(ELICIT, {}), capabilities)


def question(outcome: Outcome) -> dict[str, object]:
    """Return what the agent wants to know as a request to the client."""
    text = text_of(outcome.said) or "the agent wants to know more"
    return {"method": ELICIT, "params": {"mode": "form", "message": text, "requestedSchema": _FORM}}


def interim(outcome: Outcome, handle: str) -> Raw:
    """Return the result of a call that asks its caller."""
    asked = {ANSWER: question(outcome)}
    return raw.write({"resultType": INPUT_REQUIRED, "inputRequests": asked, REQUEST_STATE: handle})


def answer_in(responses: Raw | None) -> str | None:
    """Return the answer among raw `inputResponses`, None when it was declined or is none."""
    if responses is None:
        return None
    found = raw.parse(responses)
    result = cast("Mapping[str, Any]", found).get(ANSWER) if isinstance(found, dict) else None
    content = cast("Mapping[str, Any]", result).get("content") if isinstance(result, dict) else None
    if not isinstance(content, dict) or cast("Mapping[str, Any]", result).get("action") != "accept":
        return None
    answer = cast("Mapping[str, Any]", content).get(ANSWER)
    return answer if isinstance(answer, str) else None


def is_declined(responses: Raw | None, outcome: Outcome) -> bool:
    """Say whether the answer to what the agent asks is that there is none."""
    if responses is None or outcome.state is not State.INPUT_REQUIRED or answer_in(responses) is not None:
        return False
    found = raw.parse(responses)
    return isinstance(found, dict) and ANSWER in found


def shown(outcome: Outcome, handle: Handle, now: float, *, is_whole: bool) -> dict[str, object]:
    """Return a task object of the extension.

    is_whole  with what it came to, or asks: for `tasks/get`
    """
    status = "working" if outcome.state is None else _STATUS.get(outcome.state, "working")
    members: dict[str, object] = {
        tasks.TASK_ID: text_of_handle(handle),
        "status": status,
        "createdAt": _time(handle.created),
        "lastUpdatedAt": _time(now),
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }
    said = text_of(outcome.said)
    if said and status != "completed":
        members["statusMessage"] = said[:1000]
    if is_whole and status == "completed":
        members["result"] = result_of(outcome)
    if is_whole and status == "input_required":
        members["inputRequests"] = {ANSWER: question(outcome)}
    return members


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Handle)
