"""What our connection classes rely on in uvicorn's: a release that changes it fails here first, by name."""

import asyncio
import inspect

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from agent_gateway.listeners.fast_line import Answered
from agent_gateway.listeners.fast_protocol import FastProtocol

SET_BY_INIT = {
    "client", "connections", "cycle", "expect_100_continue", "flow", "headers", "limit_concurrency", "loop", "parser",
    "pipeline", "scope", "server_state", "tasks", "timeout_keep_alive", "timeout_keep_alive_task", "transport",
}  # fmt: skip
CALLED = (
    "connection_made", "connection_lost", "data_received", "on_body", "on_header", "on_headers_complete",
    "on_message_begin", "on_message_complete", "on_response_complete", "on_url", "shutdown", "_start_asgi_task",
)  # fmt: skip
OF_A_CYCLE = (
    "scope", "transport", "flow", "logger", "access_logger", "access_log", "default_headers", "message_event",
    "expect_100_continue", "keep_alive", "on_response",
)  # fmt: skip


async def nothing(scope: object, receive: object, send: object) -> None: ...


async def test_the_members_that_we_use_are_there() -> None:
    config = uvicorn.Config(nothing, lifespan="off", ws="none", log_config=None)
    made = HttpToolsProtocol(config=config, server_state=ServerState(), app_state={}, _loop=asyncio.get_running_loop())
    assert set(vars(made)) >= SET_BY_INIT
    assert all(callable(getattr(HttpToolsProtocol, name)) for name in CALLED)
    assert STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"
    assert ServerState().default_headers == []
    assert ServerState().total_requests == 0


def test_a_cycle_is_made_of_what_we_give_it() -> None:
    assert tuple(inspect.signature(RequestResponseCycle).parameters) == OF_A_CYCLE


def test_a_plain_call_has_what_the_server_looks_at_when_it_ends() -> None:
    assert set(Answered.__annotations__) == {"keep_alive", "disconnected", "response_complete"}
    source = inspect.getsource(HttpToolsProtocol.shutdown) + inspect.getsource(HttpToolsProtocol.connection_lost)
    used = {word for word in ("keep_alive", "response_complete", "disconnected", "message_event") if word in source}
    assert used == {"keep_alive", "response_complete", "disconnected", "message_event"}
    assert issubclass(FastProtocol, HttpToolsProtocol)
