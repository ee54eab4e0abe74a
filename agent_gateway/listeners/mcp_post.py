"""One POST at an MCP endpoint: read the message, find its era, give it to whom it is for.

Protocol housekeeping (`initialize`, `server/discover`, `ping`) is answered from
memory. Lists and calls are governed: `mcp_lists`, `mcp_tools`.
"""

from typing import Final

from agent_gateway.audit import records
from agent_gateway.listeners import mcp_client, mcp_session, mcp_state
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_ask import asked_at, take_answer, take_progress
from agent_gateway.listeners.mcp_client import Client
from agent_gateway.listeners.mcp_compact import serve_compact
from agent_gateway.listeners.mcp_error import render
from agent_gateway.listeners.mcp_lists import serve_list
from agent_gateway.listeners.mcp_reads import complete, get_prompt, read_resource
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_stream import SUBSCRIBE, UNSUBSCRIBE, listen, subscribe
from agent_gateway.listeners.mcp_task_list import list_tasks
from agent_gateway.listeners.mcp_tasks import follow_task
from agent_gateway.listeners.mcp_tools import call_tool
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.runtime.asks import node_of
from agent_gateway.runtime.sessions import key_of
from gateway_policies.refusal import Refusal
from mcp_registry.protocol import discover, envelope, legacy_tasks, progress, tasks
from mcp_registry.protocol import inbound as rules
from mcp_registry.protocol.envelope import Invalid, Notification, Request, Response
from mcp_registry.protocol.errors import INVALID_PARAMS, ProtocolError
from mcp_registry.protocol.inbound import LOG_LEVELS
from mcp_registry.protocol.lists import BY_METHOD
from mcp_registry.protocol.subscriptions import LISTEN
from mcp_registry.protocol.versions import Era


async def serve_post(inbound: Inbound) -> None:
    """Answer one posted message. Raises a `Refusal` only for what is no message at all."""
    session = mcp_session.session_of(inbound)
    depth = inbound.snapshot.config.limits.json_depth
    message = envelope.read_message(inbound.body, allow_response=session is not None, max_depth=depth)
    if isinstance(message, Invalid):
        await _refuse(inbound, message.id, message.error, "modern")
        return
    if isinstance(message, Response):
        assert session is not None
        if await inbound.hand_over(node_of(message.id)):
            return
        await _take_answer(inbound, session, message)
        return
    try:
        route = rules.route(inbound.mcp_headers(), message, has_session=session is not None)
    except ProtocolError as error:
        await _refuse(inbound, message.id if isinstance(message, Request) else None, error, "modern")
        return
    if isinstance(message, Notification):
        if session is not None and await inbound.hand_over(asked_at(message)):
            return
        _take_notification(inbound, message, session)
        await send_bytes(inbound.send, 202, b"")
        return
    version = session.version if session is not None else route.version
    request = McpRequest(
        inbound, message, route.era, version, "" if session is None else session.id, route, _client(route, session)
    )
    try:
        await _serve_request(request, session)
    except Refusal as refusal:
        if refusal.code == "insufficient_scope":
            raise  # answered with a challenge, in HTTP
        await _refuse(inbound, message.id, refusal, route.era)


def _client(route: rules.Route, session: mcp_session.Session | None) -> Client:
    if route.era == "modern":
        return Client(route.client_capabilities, route.client_info, route.log_level)
    return mcp_client.NOBODY if session is None else session.client


async def _take_answer(inbound: Inbound, session: mcp_session.Session, message: Response) -> None:
    try:
        take_answer(inbound, session, message)
    except Refusal as refusal:
        await _refuse(inbound, message.id, refusal, "legacy")
    else:
        await send_bytes(inbound.send, 202, b"")


async def _serve_request(request: McpRequest, session: mcp_session.Session | None) -> None:
    method = request.message.method
    discover.require_method(method, request.era)
    if await mcp_state.is_known_elsewhere(request):
        return
    if await serve_compact(request):
        return
    if method == "tools/call":
        await call_tool(request)
    elif method in _ANSWERS:
        await _ANSWERS[method](request)
    elif method in BY_METHOD:
        await serve_list(request, BY_METHOD[method])
    elif session is not None and method in _OF_SESSIONS:
        await _OF_SESSIONS[method](request, session)
    elif method == LISTEN:
        await listen(request)
    elif method == "server/discover":
        await _result(request, discover.discover_result(_server(request)))
    else:
        await _result(request, discover.EMPTY_RESULT)


async def _initialize(request: McpRequest) -> None:
    inbound = request.inbound
    version = discover.negotiate(request.message.parsed.get("protocolVersion"))
    result = discover.initialize_result(version, _server(request))
    session_id = mcp_session.mint(inbound, version, mcp_client.of_handshake(request.message.params))
    await _result(request, result, ((b"mcp-session-id", session_id.encode()),))


async def _set_level(request: McpRequest, session: mcp_session.Session) -> None:
    level = request.message.parsed.get("level")
    if level not in LOG_LEVELS:
        raise ProtocolError(INVALID_PARAMS, f"`level` must be one of {', '.join(LOG_LEVELS)}", http_status=200)
    request.inbound.gateway.sessions.set_level(key_of(session.id), session.state, str(level))
    await _result(request, discover.EMPTY_RESULT)


def _server(request: McpRequest) -> discover.Server:
    inbound = request.inbound
    return inbound.gateway.server(inbound.snapshot, inbound.principal, inbound.route, request.era)


async def _result(request: McpRequest, result: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    await send_bytes(request.inbound.send, 200, envelope.response(request.message.id, result), headers)


def _take_notification(inbound: Inbound, message: Notification, session: mcp_session.Session | None) -> None:
    """Act on what a client tells; what we do not know is taken and dropped, as the protocol asks."""
    if session is None:
        return
    if message.method == progress.PROGRESS:
        take_progress(inbound, session, message)
    if message.method != progress.CANCELLED:
        return
    request_id = progress.cancelled_id(message.params)
    if request_id is not None:
        inbound.gateway.cancel(inbound.principal.key, session.id, request_id)


async def _refuse(inbound: Inbound, id_raw: bytes | None, refusal: Refusal, era: Era) -> None:
    """Answer a message that was refused before it described a call, and leave one record of it."""
    status, body, headers = render(id_raw, refusal, era)
    inbound.gateway.record_refusal(
        refusal.code, status, records.Origin(inbound.route.name, inbound.peer), inbound.principal
    )
    await send_bytes(inbound.send, status, body, headers)


_OF_SESSIONS: Final = {SUBSCRIBE: subscribe, UNSUBSCRIBE: subscribe, "logging/setLevel": _set_level}


_ANSWERS = {
    "prompts/get": get_prompt,
    "resources/read": read_resource,
    "completion/complete": complete,
    "initialize": _initialize,
    **dict.fromkeys((*tasks.METHODS, legacy_tasks.RESULT), follow_task),
    legacy_tasks.LIST: list_tasks,
}
