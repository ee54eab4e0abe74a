"""What an upstream says and asks while a call runs, on its way to the caller; and the answers posted back.

Progress goes out under the caller's own token, log messages from the level it
asked for. A question goes to a legacy client on the stream of the call it
belongs to, under an id of ours, and its answer comes back with a POST of its
own. Modern clients are asked by `parked`.
"""

import asyncio
from typing import Final

import msgspec
from msgspec import Raw

from agent_gateway.listeners.body import ClientGone
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_session import Session
from agent_gateway.listeners.reply import Reply
from agent_gateway.ports import AskRefused, Progressed
from agent_gateway.runtime.asks import node_of
from agent_gateway.upstreams.asking import NOT_SERVED
from gateway_policies.refusal import BadRequest, Refusal
from mcp_registry.protocol import envelope, progress
from mcp_registry.protocol.envelope import Notification, Response
from mcp_registry.protocol.inbound import declares
from mcp_registry.protocol.questions import Question, may_be_asked

_TOKEN: Final = "progressToken"  # noqa: S105 - the wire's word
_NO_ANSWER: Final = -32001  # what SDKs say of a request that timed out
_RELAYED: Final = frozenset({"notifications/elicitation/complete"})
_NOT_OF_A_CALL: Final = frozenset(
    {
        "notifications/cancelled",
        "notifications/initialized",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
        "notifications/tasks",  # told on standing streams
        "notifications/tasks/status",
        "notifications/tools/list_changed",
    }
)


class CallSink:
    """The sink of one call, as its caller may be told and asked."""

    def __init__(self, request: McpRequest, reply: Reply) -> None:
        self._request = request
        self._reply = reply
        self._client = request.client
        self.token = progress.caller_token(request.message.meta)
        self.missing: Question | None = None  # what the upstream wanted last of a client that did not declare it

    @property
    def can_ask(self) -> bool:
        """Whether the client can still be reached before the answer."""
        return self._reply.can_stream

    async def let_go(self) -> None:
        """Let the caller come back for its answer later, as the upstream lets us."""
        await self._reply.let_go()

    async def notify(self, method: str, params: Raw | None) -> None:
        if method == progress.PROGRESS:
            if self.token is not None and params is not None:
                await self._reply.event(progress.progress(params, self.token))
        elif method == progress.LOG_MESSAGE:
            if progress.is_loggable(params, self._client.log_level):
                await self._pass_on(method, params)
        elif method in _RELAYED:
            if self._request.era == "legacy":
                await self._pass_on(method, params)
        elif method not in _NOT_OF_A_CALL and self._knows_extensions():
            await self._pass_on(method, params)

    async def ask(self, method: str, params: Raw | None, progressed: Progressed | None = None) -> Raw:
        question = Question(method, {} if params is None else envelope.read_object(params))
        if not may_be_asked(question, self._client.capabilities):
            self.missing = question
            raise AskRefused(NOT_SERVED)
        if self._request.era == "modern":
            raise AskRefused(NOT_SERVED)
        return await self.put(question, progressed)

    async def put(self, question: Question, progressed: Progressed | None = None) -> Raw:
        """Send a question to the legacy client behind this call and return the raw result that it posts.

        Raises `AskRefused` when it cannot be reached, answers with an error, or does not answer in time.
        """
        inbound = self._request.inbound
        if not self._reply.can_stream:
            raise AskRefused(NOT_SERVED)
        session = (inbound.principal.key, self._request.session_id)
        limit_s = inbound.snapshot.config.limits.answer_timeout_s
        try:
            with inbound.gateway.asks.open(session, progressed) as (ask_id, answer):
                id_raw = envelope.write(ask_id)
                token = None if progressed is None else id_raw
                await self._reply.event(envelope.request(id_raw, question.method, _ours(question, token)))
                try:
                    async with asyncio.timeout(limit_s):
                        response = await answer
                except (TimeoutError, asyncio.CancelledError):
                    await self._withdraw(id_raw)
                    raise
        except (TimeoutError, ClientGone):
            raise AskRefused(_error(_NO_ANSWER, "the client did not answer in time")) from None
        except Refusal as refusal:
            raise AskRefused(_error(_NO_ANSWER, refusal.message)) from None
        if response.result is None:
            raise AskRefused(response.error or NOT_SERVED)
        return response.result

    async def _withdraw(self, id_raw: bytes) -> None:
        """Tell the client that its answer is not wanted any more, without waiting for it to read that."""
        withdrawal = asyncio.ensure_future(self._reply.event(progress.cancelled(id_raw)))
        withdrawal.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)

    async def _pass_on(self, method: str, params: Raw | None) -> None:
        await self._reply.event(envelope.notification(method, {} if params is None else envelope.read_object(params)))

    def _knows_extensions(self) -> bool:
        capabilities = self._client.capabilities
        return declares(capabilities, "extensions") or declares(capabilities, "experimental")


def take_answer(inbound: Inbound, session: Session, response: Response) -> None:
    """Give a posted answer to the question it answers.

    Raises `BadRequest` (`unasked`) when this session was not asked that, or has answered already.
    """
    if not inbound.gateway.asks.answer((inbound.principal.key, session.id), response):
        raise BadRequest(
            "this answers nothing that was asked of this session",
            code="unasked",
            hint="answer a question once, in time",
        )


def asked_at(message: Notification) -> str:
    """Return the worker that wants to hear of a client's progress, empty for every other notification."""
    return node_of(bytes(message.params.get(_TOKEN, b"null"))) if message.method == progress.PROGRESS else ""


def take_progress(inbound: Inbound, session: Session, message: Notification) -> None:
    """Pass on how a client gets on with a question; what is no progress of one of this session's is dropped."""
    token = message.params.get(_TOKEN)
    if token is not None:
        asked = (inbound.principal.key, session.id)
        inbound.gateway.asks.progress(asked, bytes(token), Raw(envelope.write(message.params)))


def _ours(question: Question, token: bytes | None) -> envelope.RawObject:
    """Return the params for the client, with a progress token of ours in place of the upstream's; None: without."""
    if "_meta" not in question.params:
        return question.params
    try:
        meta = envelope.read_object(question.params["_meta"])
    except msgspec.DecodeError:
        return envelope.edit(question.params, {"_meta": None})
    kept = envelope.edit(meta, {"progressToken": token})
    return envelope.edit(question.params, {"_meta": envelope.write(kept) if kept else None})


def _error(code: int, message: str) -> Raw:
    return Raw(envelope.write({"code": code, "message": message}))
