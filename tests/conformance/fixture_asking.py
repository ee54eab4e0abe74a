"""The fixture's tools and prompt that need something of the client, in the dialect of whoever calls.

A client of 2026-07-28 gets `input_required` and comes again; one of the handshake
era is asked by requests on the call's own stream. So each name works in every cell.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import mcp_types as types
import orjson
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

Asked = types.InputRequiredResult | str
_OBJECT: Final = "object"
_NAME: Final[dict[str, Any]] = {"type": _OBJECT, "properties": {"name": {"type": "string"}}, "required": ["name"]}
_OK: Final[dict[str, Any]] = {"type": _OBJECT, "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
_DEFAULTS: Final[dict[str, Any]] = {
    "type": _OBJECT,
    "properties": {
        "name": {"type": "string", "description": "User name", "default": "John Doe"},
        "age": {"type": "integer", "description": "User age", "default": 30},
        "score": {"type": "number", "description": "User score", "default": 95.5},
        "status": {
            "type": "string",
            "description": "User status",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "description": "Verification status", "default": True},
    },
}
_ENUMS: Final[dict[str, Any]] = {
    "type": _OBJECT,
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": [{"const": "value1", "title": "First Option"}, {"const": "value2", "title": "Second Option"}],
        },
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2"]}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": [{"const": "value1", "title": "First Choice"}, {"const": "value2", "title": "Second"}]},
        },
    },
}


def _form(message: str, schema: dict[str, Any]) -> types.ElicitRequest:
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(prompt: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[said], max_tokens=max_tokens))


async def ask(
    ctx: Context, requests: Mapping[str, types.InputRequest], state: str | None = None
) -> Mapping[str, Any] | types.InputRequiredResult:
    """Return the client's answer to each request, or what to return so that it comes again with them.

    state  opaque to the client; a client of the handshake era never sees it
    """
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        answers = ctx.input_responses or {}
        if requests.keys() <= answers.keys():
            return answers
        return types.InputRequiredResult(input_requests=dict(requests), request_state=state)
    return {key: await _ask_now(ctx, request) for key, request in requests.items()}


async def _ask_now(ctx: Context, request: types.InputRequest) -> Any:
    kinds = {
        types.ElicitRequest: types.ElicitResult,
        types.CreateMessageRequest: types.CreateMessageResult,
        types.ListRootsRequest: types.ListRootsResult,
    }
    on_this_stream = ServerMessageMetadata(related_request_id=ctx.request_id)
    return await ctx.session.send_request(request, kinds[type(request)], metadata=on_this_stream)


async def test_sampling(prompt: str, ctx: Context) -> Asked:
    """Ask the client's model."""
    answers = await ask(ctx, {"sample": _sample(prompt)})
    return answers if isinstance(answers, types.InputRequiredResult) else f"LLM response: {_text(answers['sample'])}"


async def test_elicitation(message: str, ctx: Context) -> Asked:
    """Ask the user for a text."""
    schema = {
        "type": _OBJECT,
        "properties": {"response": {"type": "string", "description": "User's response"}},
        "required": ["response"],
    }
    return await _elicited(ctx, "User response", message, schema)


async def test_streaming_elicitation(ctx: Context) -> Asked:
    """Report progress, then ask the user."""
    await ctx.report_progress(1, 2, "asking")
    return await _elicited(ctx, "User response", "May I go on?", _OK)


async def test_elicitation_sep1034_defaults(ctx: Context) -> Asked:
    """Ask the user with a default for every primitive type."""
    return await _elicited(ctx, "Elicitation completed", "Please review your data", _DEFAULTS)


async def test_elicitation_sep1330_enums(ctx: Context) -> Asked:
    """Ask the user with every form of a choice."""
    return await _elicited(ctx, "Elicitation completed", "Please choose", _ENUMS)


async def _elicited(ctx: Context, lead: str, message: str, schema: dict[str, Any]) -> Asked:
    answers = await ask(ctx, {"user": _form(message, schema)})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    answer = answers["user"]
    content = orjson.dumps(answer.content or {}).decode()
    return f"{lead}: action={answer.action}, content={content}"


async def test_input_required_result_elicitation(ctx: Context) -> Asked:
    """Ask for a name, then greet."""
    answers = await ask(ctx, {"user_name": _form("What is your name?", _NAME)})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"Hello, {_member(answers['user_name'], 'name')}!"


async def test_input_required_result_sampling(ctx: Context) -> Asked:
    """Ask the client's model for a capital."""
    answers = await ask(ctx, {"capital_question": _sample("What is the capital of France?")})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"The model said: {_text(answers['capital_question'])}"


async def test_input_required_result_list_roots(ctx: Context) -> Asked:
    """Ask for the client's roots."""
    answers = await ask(ctx, {"client_roots": types.ListRootsRequest()})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"Roots: {', '.join(str(root.uri) for root in answers['client_roots'].roots)}"


async def test_input_required_result_request_state(ctx: Context) -> Asked:
    """Ask for a confirmation and want the state back."""
    answers = await ask(ctx, {"confirm": _form("Please confirm", _OK)}, "waiting-for-confirm")
    if isinstance(answers, types.InputRequiredResult):
        return answers
    is_legacy = ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS
    return "state-ok" if is_legacy or ctx.request_state == "waiting-for-confirm" else "the state is another"


async def test_input_required_result_multiple_inputs(ctx: Context) -> Asked:
    """Ask user, model and roots at once."""
    wanted: dict[str, types.InputRequest] = {
        "user_name": _form("What is your name?", _NAME),
        "greeting": _sample("Generate a greeting", 50),
        "client_roots": types.ListRootsRequest(),
    }
    answers = await ask(ctx, wanted, "three-at-once")
    return answers if isinstance(answers, types.InputRequiredResult) else "All three arrived."


async def test_input_required_result_multi_round(ctx: Context) -> Asked:
    """Ask for a name, then for a colour; the state carries the name."""
    first = _form("Step 1: What is your name?", _NAME)
    colour = {"type": _OBJECT, "properties": {"color": {"type": "string"}}, "required": ["color"]}
    second = _form("Step 2: What is your favorite color?", colour)
    state = orjson.loads(ctx.request_state) if ctx.request_state else {"round": 1}
    if state["round"] == 1:
        answers = await ask(ctx, {"step1": first}, orjson.dumps({"round": 1}).decode())
        if isinstance(answers, types.InputRequiredResult):
            return answers
        state = {"round": 2, "name": _member(answers["step1"], "name")}
    answers = await ask(ctx, {"step2": second}, orjson.dumps(state).decode())
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return f"{state['name']} likes {_member(answers['step2'], 'color')}."


async def test_input_required_result_tampered_state(ctx: Context) -> Asked:
    """Ask for a confirmation under a sealed state; the SDK refuses one that was changed."""
    answers = await ask(ctx, {"confirm": _form("Please confirm", _OK)}, "sealed")
    return answers if isinstance(answers, types.InputRequiredResult) else "state-ok"


async def test_input_required_result_capabilities(ctx: Context) -> Asked:
    """Ask only for what the client declared."""
    declared = ctx.client_capabilities
    wanted: dict[str, types.InputRequest] = {}
    if declared is not None and declared.sampling is not None:
        wanted["sample"] = _sample("Say hello", 50)
    if declared is not None and declared.elicitation is not None:
        wanted["name"] = _form("What is your name?", _NAME)
    answers = await ask(ctx, wanted, "by-capability")
    return answers if isinstance(answers, types.InputRequiredResult) else f"Asked for {', '.join(sorted(wanted))}."


async def test_missing_capability(ctx: Context) -> str:
    """Refuse, in the protocol's words, a client that declares no sampling."""
    declared = ctx.client_capabilities
    if declared is None or declared.sampling is None:
        raise MCPError(
            code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="this tool needs sampling",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "The client declares sampling."


async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | types.InputRequiredResult:
    """A prompt that asks for its context first."""
    schema = {"type": _OBJECT, "properties": {"context": {"type": "string"}}, "required": ["context"]}
    answers = await ask(ctx, {"user_context": _form("What context should the prompt use?", schema)})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    text = f"Use this context: {_member(answers['user_context'], 'context')}"
    return [UserMessage(text)]


def _member(answer: Any, name: str) -> str:
    content = answer.content if isinstance(answer, types.ElicitResult) else None
    return str((content or {}).get(name, "nobody"))


def _text(answer: Any) -> str:
    content = getattr(answer, "content", None)
    return content.text if isinstance(content, types.TextContent) else "nothing"


TOOLS: Final[tuple[Callable[..., Awaitable[Any]], ...]] = (
    test_sampling,
    test_elicitation,
    test_streaming_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_tampered_state,
    test_input_required_result_capabilities,
    test_missing_capability,
)
