"""What a server asks of a client while a request runs, in the words of both eras.

The handshake era sends requests of its own (`sampling/createMessage`,
`elicitation/create`, `roots/list`); 2026-07-28 answers `input_required` and is asked
again with the answers. Waiting, sealing and matching are left to others.
Source: MCP 2026-07-28, basic/utilities/mrtr; 2025-11-25, client/elicitation and client/sampling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from mcp_registry.protocol import envelope
from mcp_registry.protocol.envelope import RawObject
from mcp_registry.protocol.errors import URL_ELICITATION_REQUIRED
from mcp_registry.protocol.inbound import declares

ELICIT: Final = "elicitation/create"
SAMPLE: Final = "sampling/createMessage"
ROOTS: Final = "roots/list"

INPUT_REQUIRED: Final = "input_required"
INPUT_RESPONSES: Final = "inputResponses"
REQUEST_STATE: Final = "requestState"

MAX_QUESTIONS: Final = 32  # of one round


@dataclass(frozen=True, slots=True)
class Question:
    """One request to the client; `params` are raw members, `{}` when it has none."""

    method: str
    params: RawObject

    @property
    def needs(self) -> tuple[str, ...] | None:
        """The path of the capability that a client must have declared; None for a method that none covers."""
        if self.method == ELICIT:
            return ("elicitation", "url") if _is_url(self.params) else ("elicitation",)
        if self.method == SAMPLE:
            return ("sampling", "tools") if "tools" in self.params else ("sampling",)
        return ("roots",) if self.method == ROOTS else None


@dataclass(frozen=True, slots=True)
class InputRequired:
    """An interim result: what must be answered, by the server's own keys, and what to hand back as it is.

    state  raw JSON as sent, None when there is none
    """

    questions: Mapping[str, Question]
    state: Raw | None


def may_be_asked(question: Question, capabilities: Raw) -> bool:
    """Say whether a client that declared `capabilities` can be asked this.

    An empty `elicitation` means forms, as it did before there were modes.
    """
    path = question.needs
    if path is None or not declares(capabilities, *path):
        return False
    has_modes = declares(capabilities, "elicitation", "url") and not declares(capabilities, "elicitation", "form")
    return not (path == ("elicitation",) and has_modes)


def missing_capability(question: Question) -> dict[str, object]:
    """Return what the `data` of -32021 says: the capability that the client would have to declare."""
    found: dict[str, object] = {}
    for name in reversed(question.needs or ("experimental",)):
        found = {name: found}
    return {"requiredCapabilities": found}


def read_input_required(result: Raw) -> InputRequired | None:
    """Return the interim result, or None when `result` is none.

    Raises `msgspec.DecodeError` for one that is malformed, and `ValueError` beyond `MAX_QUESTIONS` or
    for one that asks nothing and hands back nothing: nobody could go on from there.
    """
    if b"input_required" not in bytes(result):
        return None
    head = _HEAD.decode(result)
    if head.resultType != INPUT_REQUIRED:
        return None
    asked = {} if isinstance(head.inputRequests, UnsetType) else head.inputRequests
    if len(asked) > MAX_QUESTIONS:
        raise ValueError(f"it asks more than {MAX_QUESTIONS} questions at once")
    state = None if isinstance(head.requestState, UnsetType) else head.requestState
    if not asked and state is None:
        raise ValueError("it asks for nothing")
    return InputRequired({key: Question(one.method, one.params) for key, one in asked.items()}, state)


def with_state(result: Raw, state: str) -> Raw:
    """Return an interim result with `state` in place of the server's own; the rest as it came."""
    members = envelope.read_object(result)
    return Raw(envelope.write(envelope.edit(members, {REQUEST_STATE: envelope.write(state)})))


def input_required(questions: Mapping[str, Question], state: str) -> Raw:
    """Write the interim result that puts these questions to a modern client."""
    asked = input_requests(questions)
    return Raw(envelope.write({"resultType": INPUT_REQUIRED, "inputRequests": asked, REQUEST_STATE: state}))


def input_requests(questions: Mapping[str, Question]) -> dict[str, object]:
    """Return the JSON value that puts these questions to a modern client."""
    return {key: _modern(question) for key, question in questions.items()}


def read_input_requests(task: Raw) -> dict[str, Question]:
    """Return what a raw task of the extension asks; raises like `read_input_required`."""
    asked = _HEAD.decode(task).inputRequests
    found = {} if isinstance(asked, UnsetType) else asked
    if len(found) > MAX_QUESTIONS:
        raise ValueError(f"it asks more than {MAX_QUESTIONS} questions at once")
    return {key: Question(one.method, one.params) for key, one in found.items()}


def url_questions(error: Raw | None) -> dict[str, Question]:
    """Return what the legacy error -32042 wants opened, as questions; empty for any other error."""
    try:
        found = _URL_ERROR.decode(error or b"{}")
    except msgspec.DecodeError:
        return {}
    if found.code != URL_ELICITATION_REQUIRED:
        return {}
    return {f"url{number}": Question(ELICIT, one) for number, one in enumerate(found.data.elicitations[:MAX_QUESTIONS])}


def _modern(question: Question) -> dict[str, object]:
    params = envelope.edit(question.params, {"elicitationId": None, "task": None})
    return {"method": question.method, "params": params} if params else {"method": question.method}


def _is_url(params: RawObject) -> bool:
    return "mode" in params and bytes(params["mode"]) == b'"url"'


class _Asked(msgspec.Struct):
    method: str
    params: RawObject = {}


class _Head(msgspec.Struct):
    resultType: object = UNSET  # noqa: N815 - the wire's word
    inputRequests: dict[str, _Asked] | UnsetType = UNSET  # noqa: N815 - the wire's word
    requestState: Raw | UnsetType = UNSET  # noqa: N815 - the wire's word


class _UrlData(msgspec.Struct):
    elicitations: list[RawObject] = []


class _UrlError(msgspec.Struct):
    code: int = 0
    data: _UrlData = msgspec.field(default_factory=_UrlData)


_HEAD: Final = msgspec.json.Decoder(_Head)
_URL_ERROR: Final = msgspec.json.Decoder(_UrlError)
