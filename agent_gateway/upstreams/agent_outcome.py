"""What an agent has said and done so far in answer to one message, and the result of a tool that it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from a2a_gateway import raw
from a2a_gateway.answers import State, state_of, unwrapped
from gateway_policies.refusal import UpstreamFailed

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024  # of all that the agent says in one call

Object = Mapping[str, Any]


@dataclass(slots=True)
class Outcome:
    """What one message has led to so far.

    said  parts of messages, and of the last status
    """

    task: str = ""
    context: str = ""
    state: State | None = None
    said: list[Object] = field(default_factory=list[Object])
    artifacts: dict[str, list[Object]] = field(default_factory=dict[str, list[Object]])
    size_bytes: int = 0

    def hear(self, size_bytes: int) -> None:
        """Count what came in events; raises `UpstreamFailed` (`upstream_too_large`) past `MAX_RESULT_BYTES`."""
        self.size_bytes += size_bytes
        if self.size_bytes > MAX_RESULT_BYTES:
            raise UpstreamFailed(
                f"the agent says more than {MAX_RESULT_BYTES} bytes in one call", code="upstream_too_large"
            )

    @property
    def is_waiting(self) -> bool:
        return self.state is not None and not self.state.is_terminal and not self.state.is_interrupted


def note(outcome: Outcome, result: object) -> None:
    """Take in one result or event of the agent."""
    found = unwrapped(cast("Object", result)) if isinstance(result, dict) else None
    if found is None:
        return
    kind, value = found[0], cast("Object", found[1])
    if kind == "message":
        outcome.said += _objects(value.get("parts"))
        return
    outcome.task = str(value.get("id" if kind == "task" else "taskId") or outcome.task)
    outcome.context = str(value.get("contextId") or outcome.context)
    status = value.get("status")
    if isinstance(status, dict):
        outcome.state = state_of(cast("Object", status).get("state"))
        said = cast("Object", status).get("message")
        if isinstance(said, dict):
            outcome.said = _objects(cast("Object", said).get("parts"))
    artifacts = _objects(value.get("artifacts")) or _objects([value.get("artifact")])
    for artifact in artifacts:
        name, parts = str(artifact.get("artifactId")), _objects(artifact.get("parts"))
        is_more = value.get("append") is True
        outcome.artifacts[name] = [*outcome.artifacts.get(name, []), *parts] if is_more else parts


def _objects(value: object) -> list[Object]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Object", item) for item in items if isinstance(item, dict)]


def text_of(parts: list[Object]) -> str:
    """Return what is said in words."""
    return "\n".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))


def result_of(outcome: Outcome) -> dict[str, object]:
    """Return the outcome as the result of a tool: artifacts first, then what the agent said."""
    parts = [part for of in outcome.artifacts.values() for part in of] + outcome.said
    data = [part["data"] for part in parts if isinstance(part.get("data"), dict)]
    state = outcome.state
    is_error = state in (State.FAILED, State.REJECTED, State.CANCELED, State.AUTH_REQUIRED)
    result: dict[str, object] = {
        "content": [_block(part) for part in parts] or [{"type": "text", "text": str(state or "done")}],
        "isError": is_error or state is State.INPUT_REQUIRED,
        "resultType": "complete",
    }
    if len(data) == 1:
        result["structuredContent"] = data[0]
    return result


def _block(part: Object) -> dict[str, object]:
    if isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    name = str(part.get("filename") or "file")
    if isinstance(part.get("url"), str):
        return {"type": "resource_link", "uri": part["url"], "name": name}
    if isinstance(part.get("raw"), str):
        kind = str(part.get("mediaType") or "application/octet-stream")
        return {"type": "resource", "resource": {"uri": f"a2a:{name}", "mimeType": kind, "blob": part["raw"]}}
    return {"type": "text", "text": bytes(raw.write(part.get("data"))).decode()}
