"""One planned request to an API and its whole answer: sent once, followed at most one hop, waited for if asked.

What a request says and what its answer means is decided in `context_mesh.wire`; here it meets the pool.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urljoin

from agent_gateway.ports import HttpClient, HttpRequest, HttpResponse
from context_mesh.wire.address import origin_of
from context_mesh.wire.media import kind_of
from context_mesh.wire.plan import Planned
from context_mesh.wire.read import Answer
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})
FIRST_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 15.0
MAX_ERROR_BODY: Final = 64 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ASYNC: Final = ("operation-location", "location")

Waiting = Callable[[int], Awaitable[None]]  # told how often was asked already


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Bytes and seconds of one call.

    downloads  origins that a redirect of a safe request may lead to, without credentials
    poll_s     how long work that was accepted is waited for; 0: not at all
    stream_s   how long an event stream is read, from its head
    """

    max_body: int = 16 * 1024 * 1024
    downloads: frozenset[tuple[str, str, int]] = frozenset()
    poll_s: float = 0.0
    stream_s: float = 10.0


class ApiExchange:
    """Sends the requests of one API."""

    def __init__(self, http: HttpClient, limits: ExchangeLimits) -> None:
        self._http = http
        self._limits = limits

    async def send(self, planned: Planned, timeout_s: float, waiting: Waiting | None) -> Answer:
        """Return the answer to a request.

        waiting  called before each further question about work that was accepted; None: nothing is waited for
        Raises like `ports.HttpClient`; a request is sent a second time only if its method is safe, and only as
        the pool does it.
        """
        answer = await self._once(planned, timeout_s)
        if answer.status in _REDIRECTS and planned.method in ("GET", "HEAD"):
            answer = await self._followed(planned, answer, timeout_s)
        if answer.status == 202 and self._limits.poll_s > 0 and waiting is not None:
            answer = await self._finished(planned, answer, timeout_s, waiting)
        return answer

    async def _once(self, planned: Planned, timeout_s: float) -> Answer:
        headers = [(name.encode(), value.encode()) for name, value in planned.headers]
        request = HttpRequest(planned.method, planned.url, headers, planned.body)
        response = await self._http.send(request, timeout_s=timeout_s, idempotent=planned.method in SAFE_METHODS)
        try:
            named = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers.items()}
            if named.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
                raise UpstreamFailed(
                    "the API's answer is compressed, and nobody asked for that", code="upstream_garbage"
                )
            body, is_cut = await self._body(response, named)
        except BaseException:
            response.close()
            raise
        return Answer(response.status, named, body, planned.url, is_cut)

    async def _body(self, response: HttpResponse, headers: dict[str, str]) -> tuple[bytes, bool]:
        if response.status >= 400:
            return await _begun(response, MAX_ERROR_BODY, self._limits.stream_s)
        if kind_of(headers.get("content-type", "")) in ("events", "lines"):
            return await _begun(response, self._limits.max_body, self._limits.stream_s)
        return await response.read(self._limits.max_body), False

    async def _followed(self, planned: Planned, answer: Answer, timeout_s: float) -> Answer:
        """Follow one redirect to an origin that an operator allows, with nothing of ours in it."""
        target = _joined(planned.url, answer.headers.get("location", ""))
        if not target or origin_of(target) not in self._limits.downloads:
            return answer
        plain = Planned(planned.method, target.partition("#")[0], (("accept", "*/*"), ("accept-encoding", "identity")))
        return await self._once(plain, timeout_s)

    async def _finished(self, planned: Planned, answer: Answer, timeout_s: float, waiting: Waiting) -> Answer:
        """Ask where the answer says until the work is done, or time is up; the last answer counts."""
        where = next((answer.headers[name] for name in _ASYNC if name in answer.headers), "")
        url = _joined(planned.url, where)
        if not url or origin_of(url) != origin_of(planned.url):
            return answer
        kept = tuple(pair for pair in planned.headers if pair[0] not in ("content-type", "idempotency-key"))
        question = replace(planned, method="GET", url=url.partition("#")[0], body=b"", headers=kept)
        count = 0
        try:
            async with asyncio.timeout(self._limits.poll_s):
                while answer.status == 202:
                    count += 1
                    await waiting(count)
                    await asyncio.sleep(_wait_s(answer, count))
                    answer = await self._once(question, timeout_s)
        except TimeoutError:
            return answer
        return answer


def _wait_s(answer: Answer, count: int) -> float:
    said = answer.headers.get("retry-after", "")
    wanted = (
        float(said) if said.isascii() and said.isdigit() and len(said) < 5 else FIRST_WAIT_S * 1.5 ** min(count - 1, 8)
    )
    return min(max(wanted, 0.05), MAX_WAIT_S)


def _joined(base: str, target: str) -> str:
    try:
        return urljoin(base, target) if target else ""
    except ValueError:
        return ""


async def _begun(response: HttpResponse, max_bytes: int, max_s: float) -> tuple[bytes, bool]:
    """Return a body, or what of it came within the bounds and True."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(max_s):
            async for chunk in response.chunks():
                parts.append(chunk)
                size += len(chunk)
                if size > max_bytes:
                    break
            else:
                return b"".join(parts), False
    except (TimeoutError, UpstreamTimeout):
        pass
    response.close()
    return b"".join(parts)[:max_bytes], True


def plain_headers(planned: Planned, more: Sequence[tuple[str, str]]) -> Planned:
    """Return a request with further headers, those that it has already left as they are."""
    have = {name for name, _ in planned.headers}
    added = tuple((name, value) for name, value in more if name not in have)
    return replace(planned, headers=(*planned.headers, *added))
