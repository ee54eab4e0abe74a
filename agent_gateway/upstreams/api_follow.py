"""`tasks/get` and `tasks/cancel` of work that an API accepted; each asks the API at most once.

Source: ext-tasks, specification/draft/tasks.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from agent_gateway.ports import Clock, UpstreamRequest
from agent_gateway.upstreams.api_tasks import (
    Job,
    Remembered,
    Told,
    deletion,
    id_of,
    is_failed,
    job_in,
    job_of,
    judged,
    shown,
    target_on,
    wait_s,
)
from agent_gateway.upstreams.api_wire import ApiWire
from context_mesh.openapi.tool import Tool
from context_mesh.wire.address import Site, base_of
from context_mesh.wire.plan import Planned, Secret
from context_mesh.wire.read import Answer, Shape
from context_mesh.wire.spelling import escaped
from gateway_policies.refusal import Refusal, UpstreamFailed
from mcp_registry.protocol import tasks

Json = dict[str, object]


class Follower:
    """The work of one API that goes on after its calls.

    site   where the API is
    shape  of the results
    """

    def __init__(self, wire: ApiWire, site: Site, shape: Shape, clock: Clock) -> None:
        self._wire = wire
        self._site = site
        self._shape = shape
        self._clock = clock
        self._said = Remembered(clock)

    def announced(self, tool: Tool, answer: Answer, request: UpstreamRequest) -> Json | None:
        """Return the task that stands for an answer, None when the caller or the answer wants none."""
        declared = request.client_capabilities
        if answer.status != 202 or declared is None or not tasks.is_declared(declared):
            return None
        now = self._clock()
        job = job_of(tool.name, answer, now)
        if job is None or len(id_of(job)) > tasks.MAX_ID_CHARS:
            return None
        told = Told("working", now + wait_s(answer))
        self._said.note(request.principal.key, id_of(job), told)
        return {"resultType": tasks.RESULT_TYPE, **shown(job, told, now)}

    async def get(self, text: str, tools: Mapping[str, Tool], request: UpstreamRequest) -> Json | None:
        """Return how a task is; None for an id of no task here. Raises like `ApiWire.ask`."""
        job = job_in(text)
        tool = tools.get(job.tool) if job is not None else None
        if job is None or tool is None:
            return None
        owner = request.principal.key
        told = self._said.fresh(owner, text)
        if told is None:
            told = await self._looked(job, tool, request)
            self._said.note(owner, text, Told(told.status, told.not_before, message=told.message))
        return {"resultType": "complete", **shown(job, told, self._clock())}

    async def cancel(self, text: str, tools: Mapping[str, Tool], request: UpstreamRequest, name: str) -> Json | None:
        """Delete what stands for the work, where an approved tool does that and its caller may; else ask no more.

        name  of this upstream
        """
        job = job_in(text)
        tool = tools.get(job.tool) if job is not None else None
        if job is None or tool is None:
            return None
        message = "the gateway asks no more; the API was not told"
        wanted = deletion(job, tools, urlsplit(base_of(tool.operation, self._site)).path)
        if wanted is not None and request.steps is not None:
            try:
                answer = await request.steps.call(name, wanted[0], wanted[1], request.timeout_s)
            except UpstreamFailed:
                raise
            except Refusal as refusal:
                message = f"the gateway asks no more; `{wanted[0]}` was not called: {refusal.message}"
            else:
                status = answer.seen.status if answer.seen is not None else 0
                message = f"`{wanted[0]}` was called, and the API answered {status}"
        self._said.note(request.principal.key, text, Told("cancelled", message=message[:300]))
        return {"resultType": "complete"}

    async def _looked(self, job: Job, tool: Tool, request: UpstreamRequest) -> Told:
        answer = await self._asked(job.target, tool, request)
        if answer.status == 303:  # the work is done, and its result is elsewhere
            target = target_on(answer, answer.headers.get("location", ""))
            answer = await self._asked(target, tool, request) if target else answer
        told = judged(job, answer, self._clock())
        if told is not None:
            return told
        result = await self._wire.result(answer, self._shape, request.principal)
        return Told("completed", result=result | {"isError": True} if is_failed(job, answer) else result)

    async def _asked(self, target: str, tool: Tool, request: UpstreamRequest) -> Answer:
        base = urlsplit(base_of(tool.operation, self._site))

        def question(secrets: Sequence[Secret]) -> Planned:
            return _question(f"{base.scheme}://{base.netloc}{target}", secrets)

        return await self._wire.ask(tool.operation, question, request)


def _question(url: str, secrets: Sequence[Secret]) -> Planned:
    """Return a GET with the credentials of the call that began the work."""
    parts = [f"{escaped(one.name)}={escaped(one.value)}" for one in secrets if one.location == "query"]
    cookies = "; ".join(f"{one.name}={one.value}" for one in secrets if one.location == "cookie")
    headers = [("accept", "application/json, */*;q=0.5")]
    headers += [(one.name.lower(), one.value) for one in secrets if one.location == "header"]
    headers += [("cookie", cookies)] if cookies else []
    joint = "&" if "?" in url else "?"
    return Planned("GET", url + (joint + "&".join(parts) if parts else ""), tuple(headers))
