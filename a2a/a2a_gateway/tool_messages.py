"""A toolset spoken to as an agent: a message is a call of a tool, and its result is what the agent says.

A message holds one data part, `{"tool": name, "arguments": {…}}`; where its metadata name the tool as a
skill, the data part is the arguments. What is passed on is kept byte for byte. Which tools there are
and who may call them is left to others.
Source: A2A 1.0.1, 4.1; MCP 2026-07-28, server/tools and client/elicitation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import msgspec
from msgspec import Raw

from a2a_gateway import outbound, raw
from a2a_gateway.answers import State
from a2a_gateway.inbound import Inbound
from a2a_gateway.operations import Dialect
from a2a_gateway.parts import invalid
from gateway_policies.refusal import BadRequest

EXTENSION: Final = "https://agent-gateway.invalid/a2a/tools/v1"  # a name, like that of `skills`
MAX_ANSWERS: Final = 32
MAX_TOOL_CHARS: Final = 256
PLAIN: Final = Dialect("1.0", "JSONRPC")
HOW: Final = 'send one data part: {"tool": "NAME", "arguments": {…}}; the card names the tools as skills'
_ACTIONS: Final = frozenset({"accept", "decline", "cancel"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a message asks for.

    tool       by the name it has here; empty: the only one there is
    arguments  raw JSON object; None: `text` is the one argument
    """

    tool: str
    arguments: Raw | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What a tool wants to know before it goes on.

    only  the one property of the form, when a text can fill it; empty otherwise
    shown what the caller reads of it
    """

    text: str
    shown: Mapping[str, object]
    is_form: bool = True
    only: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call of a tool has led to.

    parts      of the artifact, or of the message that says what is wrong or wanted
    questions  by the tool's own keys, and `state` (raw JSON) to hand back with their answers
    """

    state: State
    parts: Sequence[Mapping[str, object]]
    questions: Mapping[str, Question]
    handle: Raw | None = None


# --- in --------------------------------------------------------------------------------------


def message_of(inbound: Inbound) -> raw.Object:
    """Return the raw members of a request's message, in the words of 1.0 whatever it speaks."""
    params = raw.members(raw.members(outbound.write(inbound, PLAIN).body)["params"])
    return raw.members(params["message"])


def read(message: raw.Object, skill: str) -> Asked:
    """Return what a message asks for.

    skill  that its metadata name, empty for none

    Raises `BadRequest`: `content_type_not_supported` for files, `invalid_params` for what names no tool,
    more than one call, or another tool than the metadata do.
    """
    text, data = _content(message)
    if data is None:
        if not text.strip():
            raise invalid("the message is empty", HOW)
        return Asked(skill, None, text)
    if skill:
        return Asked(skill, data)
    try:
        call = raw.members(data)
        tool, arguments = raw.parse(call.pop("tool", Raw(b"null"))), call.pop("arguments", Raw(b"{}"))
        raw.members(arguments)
    except msgspec.DecodeError:
        raise invalid("`arguments` must be an object", HOW) from None
    if call:
        raise invalid("the data part has members beside `tool` and `arguments`", HOW)
    if not isinstance(tool, str) or not 0 < len(tool) <= MAX_TOOL_CHARS:
        raise invalid("the message names no tool", HOW)
    return Asked(tool, arguments)


def _content(message: raw.Object) -> tuple[str, Raw | None]:
    """Return the text of a message and its one data part, an object; None when there is none."""
    texts, found = list[str](), list[Raw]()
    for part in raw.elements(message.get("parts", Raw(b"[]"))):
        members = raw.members(part)
        if "text" in members:
            text = raw.parse(members["text"])
            texts.append(text if isinstance(text, str) else "")
        elif "data" in members:
            found.append(members["data"])
        else:
            raise BadRequest("files are not taken here", code="content_type_not_supported", hint=HOW)
    if len(found) > 1:
        raise invalid("the message holds more than one data part", HOW)
    if found and not bytes(found[0]).lstrip().startswith(b"{"):
        raise invalid("the data part must be an object", HOW)
    return "\n".join(texts), found[0] if found else None


def text_argument(schema: Raw | bytes) -> str:
    """Return the one property of an object's schema, when it is a string and there is no other; else empty."""
    found = raw.parse(schema)
    properties = cast("Mapping[str, object]", found).get("properties") if isinstance(found, dict) else None
    if not isinstance(properties, dict) or len(cast("Mapping[str, object]", properties)) != 1:
        return ""
    name, kind = next(iter(cast("Mapping[str, object]", properties).items()))
    is_text = isinstance(kind, dict) and cast("Mapping[str, object]", kind).get("type") == "string"
    return name if is_text else ""


def answers(message: raw.Object, questions: Mapping[str, Question]) -> Mapping[str, Raw]:
    """Return the raw answers of a message by the questions' keys, as MCP's results of an elicitation.

    A data part `{"answers": {key: {"action", "content"}}}` answers each by its name. Where there is one
    question, a data part is its content, and so is a text if the form has one property, of text.

    Raises `BadRequest` (`invalid_params`) for what answers nothing that was asked.
    """
    text, data = _content(message)
    if data is not None and "answers" in raw.members(data):
        return _named_answers(raw.members(data)["answers"], questions)
    if len(questions) != 1:
        raise invalid("several things are asked", f'send a data part: {{"answers": {{{_keys(questions)}}}}}')
    [(key, question)] = questions.items()
    if not question.is_form:
        return {key: Raw(b'{"action":"accept"}')}
    if data is not None:
        return {key: raw.write({"action": "accept", "content": data})}
    if question.only and text.strip():
        return {key: raw.write({"action": "accept", "content": {question.only: text}})}
    raise invalid("this does not answer what is asked", "send a data part that fits the schema of the question")


def _named_answers(given: Raw, questions: Mapping[str, Question]) -> Mapping[str, Raw]:
    try:
        found = {key: (value, raw.members(value)) for key, value in raw.members(given).items()}
    except msgspec.DecodeError:
        raise invalid("each of `answers` must be an object") from None
    for key, (_, members) in found.items():
        if key not in questions or raw.parse(members.get("action", Raw(b"null"))) not in _ACTIONS:
            raise invalid("`answers` holds what was not asked, or no action", f"asked are {_keys(questions)}")
    if found.keys() != questions.keys():
        raise invalid("`answers` leaves something out", f"asked are {_keys(questions)}")
    return {key: value for key, (value, _) in found.items()}


def _keys(questions: Mapping[str, Question]) -> str:
    return ", ".join(f'"{key[:64]}": {{…}}' for key in questions)


# --- out -------------------------------------------------------------------------------------


def outcome(result: Raw) -> Outcome:
    """Return what the raw result of a modern `tools/call` says.

    Raises `msgspec.DecodeError` for one that cannot be read.
    """
    members = raw.members(result)
    if raw.parse(members.get("resultType", Raw(b'"complete"'))) == "input_required":
        return _wanting(members)
    parts = [_part(raw.members(block), block) for block in raw.elements(members.get("content", Raw(b"[]")))]
    if "structuredContent" in members:
        parts.append({"data": members["structuredContent"], "mediaType": "application/json"})
    is_error = raw.parse(members.get("isError", Raw(b"false"))) is True
    state = State.FAILED if is_error else State.COMPLETED
    return Outcome(state, parts or [{"text": "failed" if is_error else "done"}], {})


def _part(block: raw.Object, whole: Raw) -> Mapping[str, object]:
    """Return a block of content as a part; what has no form here is data."""
    kind = raw.parse(block.get("type", Raw(b"null")))
    if kind == "text" and "text" in block:
        return {"text": block["text"]}
    if kind in ("image", "audio") and "data" in block:
        return _with({"raw": block["data"]}, block, {"mimeType": "mediaType"})
    if kind == "resource_link" and "uri" in block:
        return _with({"url": block["uri"]}, block, {"name": "filename", "mimeType": "mediaType"})
    if kind == "resource" and "resource" in block:
        held = raw.members(block["resource"])
        named = {"uri": "filename", "mimeType": "mediaType"}
        if "blob" in held:
            return _with({"raw": held["blob"]}, held, named)
        if "text" in held:
            return _with({"text": held["text"]}, held, named)
    return {"data": whole, "mediaType": "application/json"}


def _with(part: dict[str, object], held: raw.Object, names: Mapping[str, str]) -> Mapping[str, object]:
    return part | {ours: held[theirs] for theirs, ours in names.items() if theirs in held}


def _wanting(members: raw.Object) -> Outcome:
    asked = raw.members(members.get("inputRequests", Raw(b"{}")))
    questions = {key: _question(raw.members(one)) for key, one in list(asked.items())[:MAX_ANSWERS]}
    text = "\n".join(one.text for one in questions.values() if one.text) or "more is needed"
    shown = {"questions": {key: one.shown for key, one in questions.items()}}
    parts: list[Mapping[str, object]] = [{"text": text}, {"data": shown, "mediaType": "application/json"}]
    return Outcome(State.INPUT_REQUIRED, parts, questions, members.get("requestState"))


def _question(asked: raw.Object) -> Question:
    params = raw.members(asked.get("params", Raw(b"{}")))
    shown = {name: params[name] for name in ("mode", "message", "requestedSchema", "url") if name in params}
    said = raw.parse(params.get("message", Raw(b'""')))
    is_form = raw.parse(params.get("mode", Raw(b'"form"'))) != "url"
    only = text_argument(params["requestedSchema"]) if "requestedSchema" in params else ""
    return Question(said if isinstance(said, str) else "", shown, is_form, only)
