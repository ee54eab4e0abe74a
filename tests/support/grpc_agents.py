"""A2A agents that speak gRPC alone, in this process: the SDK's own, and ones that say exactly what a test wants."""

import asyncio
import importlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentInterface, a2a_pb2
from google.protobuf.json_format import MessageToDict

from support.agent_main import Worker, card_of
from support.raw_agent import WELL_KNOWN, card, raw_agent, saying

grpc: Any = importlib.import_module("grpc")  # neither has types
a2a_pb2_grpc: Any = importlib.import_module("a2a.types.a2a_pb2_grpc")


@dataclass
class GrpcAgent:
    """A running agent; `metadata` is what each call carried, oldest first."""

    port: int
    server: Any
    worker: Worker
    card_url: str = ""
    metadata: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def entry(self, name: str, more: str = "") -> str:
        """Return its lines of configuration."""
        where = f"url: 'http://127.0.0.1:{self.port}', card: '{self.card_url}'"
        return f"  {name}: {{kind: a2a, {where}, allow_private: true{more}}}\n"


@asynccontextmanager
async def grpc_agent(servicer: Any = None, credentials: Any = None, tenant: str = "") -> AsyncGenerator[GrpcAgent]:
    """Serve an agent on loopback until the block ends, and its card, which names gRPC alone, over HTTP.

    servicer     what answers; None: the SDK's handler around `agent_main.Worker`
    credentials  of the server; None: in the clear
    """
    seen: list[dict[str, str]] = []

    class Watching(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            seen.append(dict(handler_call_details.invocation_metadata))
            return await continuation(handler_call_details)

    worker, described = Worker(), card_of("", ["1.0"])
    handler = DefaultRequestHandler(worker, InMemoryTaskStore(), described, extended_agent_card=described)
    server = grpc.aio.server(interceptors=[Watching()])
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(servicer or GrpcHandler(handler), server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    interface = AgentInterface(url=f"127.0.0.1:{port}", protocol_binding="GRPC", protocol_version="1.0", tenant=tenant)
    described.ClearField("supported_interfaces")
    described.supported_interfaces.append(interface)
    await server.start()
    try:
        async with raw_agent(saying(), lambda url: card(url, **MessageToDict(described))) as told:
            card_url = told.url + WELL_KNOWN.decode()
            yield GrpcAgent(port, server, worker, card_url, seen)
    finally:
        await server.stop(None)


class Servicer(a2a_pb2_grpc.A2AServiceServicer):
    """Answers a message with what `say` returns, and a stream with what it yields."""

    def __init__(self, say: Any) -> None:
        self._say = say

    async def SendMessage(self, request: Any, context: Any) -> Any:  # noqa: N802, the service's own name
        return await self._say(request, context)

    async def SendStreamingMessage(self, request: Any, context: Any) -> Any:  # noqa: N802, the service's own name
        async for one in self._say(request, context):
            yield one


def a_task(name: str = "t-1") -> a2a_pb2.Task:
    status = a2a_pb2.TaskStatus(state=a2a_pb2.TASK_STATE_WORKING)
    return a2a_pb2.Task(id=name, context_id="c-1", status=status)


@dataclass
class Relay:
    """A port that leads to another one, until it is cut."""

    port: int
    count: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    def cut(self) -> None:
        """Break every connection off."""
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


@asynccontextmanager
async def relay(to_port: int) -> AsyncGenerator[Relay]:
    """Pass bytes on to a port of this machine until the block ends."""
    passing = Relay(0)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing.count += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to_port)
        passing.writers += [writer, far_writer]
        await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    passing.port = server.sockets[0].getsockname()[1]
    try:
        yield passing
    finally:
        passing.cut()
        server.close()
