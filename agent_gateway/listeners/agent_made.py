"""Answers that the gateway makes of an agent's: one's own tasks, page by page, and the extended card.

An agent knows the gateway, not its callers: its list of tasks is everybody's. Here it is read
page by page, what is somebody else's is left out, and where to go on is sealed to the caller.
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import cast

import msgspec
from msgspec import Raw

from a2a_gateway import cards, errors, outbound, raw, results
from a2a_gateway.inbound import Inbound as A2aRequest
from a2a_gateway.operations import PUSH, Dialect, Operation
from a2a_gateway.parts import Parts
from a2a_gateway.results import A2A_JSON, Passage
from agent_gateway.listeners.agent_card import card_for, signed
from agent_gateway.listeners.agent_inbound import AgentInbound
from agent_gateway.listeners.agent_pages import MAX_PAGE, Cursors, choice_of, page_size, typed
from agent_gateway.listeners.agent_push import find_hook, ours, registered, theirs, webhook_of
from agent_gateway.listeners.agent_refusals import Answer, foreign_answer, is_telling
from agent_gateway.snapshot import Target
from gateway_policies.refusal import BadRequest

MAX_PAGES = 20  # of the agent's, for one of ours
_PLAIN = Dialect("1.0", "JSONRPC")
_NOBODY = b'"gateway"'

Ask = Callable[[outbound.HttpOut], Awaitable[tuple[int, bytes]]]  # one request to the agent → status, body


class _Passed(Exception):
    """The agent said no: its error is the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Making:
    """What an answer is made from.

    ask  sends one request to the agent and reads its answer whole
    """

    inbound: AgentInbound
    target: Target
    ask: Ask

    async def answer(self) -> Answer:
        """Return the answer to the caller's request; raises a `Refusal`."""
        try:
            operation = self.inbound.request.operation
            if operation is Operation.LIST_TASKS:
                return await self._tasks()
            if operation in PUSH:
                return await self._push(operation)
            return await self._extended_card()
        except _Passed as passed:
            return passed.answer

    async def _result(self, request: A2aRequest, params: raw.Object) -> Raw:
        """Return what the agent answers to an operation, as 1.0 has it."""
        plain = replace(request, dialect=_PLAIN, id_raw=_NOBODY, query="", body=b"", params=params)
        out = outbound.write(plain, self.target.dialect, tenant=self.target.tenant, params=params)
        status, body = await self.ask(out)
        asked = self.inbound.request
        passage = Passage(request.operation, self.target.dialect, _PLAIN, _NOBODY)
        answer = results.whole(passage, status, body) if self.target.dialect != _PLAIN else None
        members = raw.members(answer.body if answer is not None else body)
        if "result" in members:
            return members["result"]
        if is_telling(body, self.inbound.agent.config):
            raise foreign_answer("its error names places that are not shown", status)
        onward = Passage(asked.operation, _PLAIN, asked.dialect, asked.id_raw)
        said = results.whole(onward, 200, bytes(raw.write(members)))
        raise _Passed((said.http_status, said.body, [(b"content-type", said.content_type.encode())]))

    # --- tasks -------------------------------------------------------------------------------

    async def _tasks(self) -> Answer:
        if self.target.dialect.version == "0.3":
            return await self._tasks_known()
        request, inbound = self.inbound.request, self.inbound
        size, mine = page_size(request), list[Raw]()
        context = request.parts.context_id
        if context and not await inbound.gateway.tasks.owns(inbound.where, [], [context]):
            return await self._listed([], size, None)  # somebody else's and nobody's hold the same: nothing
        token, skip = cast("tuple[str, int]", self._cursors.opened(self.inbound.request.parsed) or ("", 0))
        following: tuple[str, int] | None = (token, skip)
        for _ in range(MAX_PAGES):
            token, skip = following
            params = _asked(request) | {"pageSize": raw.write(MAX_PAGE)}
            if token:
                params["pageToken"] = raw.write(token)
            page = _Page.of(await self._result(request, params))
            own = await inbound.gateway.tasks.mine(inbound.where, [task_id for task_id, _ in page.tasks])
            following = (page.following, 0) if page.following else None
            for at, (task_id, task) in enumerate(page.tasks):
                if at < skip or task_id not in own:
                    continue
                if len(mine) == size:
                    following = (token, at)
                    break
                mine.append(task)
            if len(mine) == size or following is None:
                break
        return await self._listed(mine, size, following)

    async def _tasks_known(self) -> Answer:
        """List the tasks of an agent that has no list: which, is known here; how they are, the agent says."""
        request, inbound = self.inbound.request, self.inbound
        size, after = (
            page_size(request),
            cast("tuple[float, str] | None", self._cursors.opened(self.inbound.request.parsed)),
        )
        known, _ = await inbound.gateway.tasks.page(inbound.where, choice_of(request), after, size)
        found: list[Raw] = []
        for task in known:
            asking = replace(request, operation=Operation.GET_TASK, parts=Parts(task_id=task.id))
            try:
                found.append(await self._result(asking, {"id": raw.write(task.id)}))
            except _Passed:
                continue  # the agent has forgotten it
        last = (known[-1].updated_at, known[-1].id) if len(known) == size else None
        return await self._listed(found, size, last)

    async def _listed(self, tasks: list[Raw], size: int, following: tuple[object, object] | None) -> Answer:
        inbound = self.inbound
        _, total = await inbound.gateway.tasks.page(inbound.where, choice_of(inbound.request), None, 1)
        token = "" if following is None else self._cursors.sealed(following)
        listed = {"tasks": tasks, "nextPageToken": token, "pageSize": size, "totalSize": max(total, len(tasks))}
        return in_dialect(inbound.request, raw.write(listed))

    @property
    def _cursors(self) -> Cursors:
        purpose = f"tasks:{self.inbound.route.name}:{self.inbound.skill}"
        return Cursors(self.inbound.gateway, self.inbound.principal, purpose)

    # --- webhooks ----------------------------------------------------------------------------

    async def _push(self, operation: Operation) -> Answer:
        """Keep, tell or forget a webhook of the caller; the agent hears of one of ours."""
        inbound, parts = self.inbound, self.inbound.request.parts
        relay = inbound.gateway.push
        if operation is Operation.CREATE_PUSH:
            return await self._push_created()
        if operation is Operation.LIST_PUSH:
            found = await relay.of_task(inbound.where, parts.task_id)
            return self._plainly({"configs": [theirs(*one) for one in found], "nextPageToken": ""})
        if operation is Operation.GET_PUSH:
            return self._plainly(theirs(*await find_hook(inbound, parts.config_id)))
        known = {one.config_id: one for one, _ in await relay.of_task(inbound.where, parts.task_id)}
        hook = known.get(parts.config_id)
        if hook is None:
            return self._plainly({})  # deleting it once more changes nothing (A2A 3.1.10)
        await relay.forget(hook)
        named = {"taskId": raw.write(parts.task_id), "id": raw.write(hook.config_id)}
        with contextlib.suppress(_Passed):  # whatever the agent says of it, nothing is posted any more
            await self._result(inbound.request, named)
        return self._plainly({})

    async def _push_created(self) -> Answer:
        inbound, request = self.inbound, self.inbound.request
        push = request.parts.push
        assert push is not None
        hook, secret = await registered(inbound, push)
        told = {"taskId": request.parts.task_id} | ours(inbound, hook, secret)
        asking = replace(request, parts=replace(request.parts, config_id=hook.config_id))
        try:
            await self._result(asking, {name: raw.write(value) for name, value in told.items()})
        except BaseException:
            await inbound.gateway.push.forget(hook)
            raise
        return self._plainly(theirs(hook, webhook_of(inbound, push)))

    def _plainly(self, value: object) -> Answer:
        """Return a result of 1.0 as the caller reads it."""
        asked = self.inbound.request
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (asked.id_raw or b"null", bytes(raw.write(value)))
        passage = Passage(asked.operation, _PLAIN, asked.dialect, asked.id_raw)
        said = results.whole(passage, 200, body)
        return said.http_status, said.body, [(b"content-type", said.content_type.encode())]

    # --- card --------------------------------------------------------------------------------

    async def _extended_card(self) -> Answer:
        inbound = self.inbound
        if inbound.agent.card is None or not inbound.agent.card.has_extended_card:
            raise BadRequest("this agent has no extended card", code="no_extended_card")
        found = raw.parse(await self._result(inbound.request, {}))
        card = cards.read(cast("cards.Object", found) if isinstance(found, dict) else {})
        known = replace(card, skills=tuple(skill for skill in card.skills if skill.id in inbound.agent.skills))
        written = card_for(inbound.snapshot, inbound.route, inbound.principal, known, inbound.request.dialect.version)
        return in_dialect(inbound.request, raw.write(signed(inbound.snapshot, written)))


def in_dialect(request: A2aRequest, result: Raw) -> Answer:
    """Return a result of our own as a whole answer in the caller's binding."""
    if request.dialect.binding == "JSONRPC":
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request.id_raw or b"null", bytes(result))
        return 200, body, [(b"content-type", errors.JSON.encode())]
    kind = A2A_JSON if request.dialect.version == "1.0" else errors.JSON
    return 200, bytes(result), [(b"content-type", kind.encode())]


@dataclass(frozen=True, slots=True)
class _Page:
    tasks: list[tuple[str, Raw]]
    following: str

    @classmethod
    def of(cls, result: Raw) -> "_Page":
        try:
            members = raw.members(result)
            tasks = [(_ID.decode(task).id, task) for task in raw.elements(members.get("tasks", Raw(b"[]")))]
            following = raw.parse(members.get("nextPageToken", Raw(b'""')))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise foreign_answer("it is no list of tasks", 200) from None
        return cls(tasks, following if isinstance(following, str) else "")


class _Task(msgspec.Struct):
    id: str


_ID = msgspec.json.Decoder(_Task)


def _asked(request: A2aRequest) -> raw.Object:
    """Return the caller's choice and shape of a list, without where it is in it."""
    names = ("contextId", "status", "historyLength", "includeArtifacts", "statusTimestampAfter")
    if request.dialect.binding == "JSONRPC":
        return {name: request.params[name] for name in names if name in request.params}
    return {name: raw.write(typed(request.parsed[name])) for name in names if name in request.parsed}
