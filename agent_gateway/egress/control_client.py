"""The control path's HTTP client: key sets, metadata, tokens, specifications.

Each connection goes to an address that `resolve` has checked, whatever the URL
says. No redirects, no proxies, no cookies, no compression; time and size are
capped. The data path has a client of its own.
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self, cast

import httpcore2
import httpx2

from agent_gateway.egress.resolve import EgressRules, Getaddrinfo, resolve, system_getaddrinfo
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable

MAX_BODY_BYTES = 4 * 1024 * 1024
TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 16

_SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Dials only addresses that passed the rules, and no other kind of socket."""

    def __init__(
        self,
        rules: EgressRules,
        *,
        getaddrinfo: Getaddrinfo = system_getaddrinfo,
        dial: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self._rules = rules
        self._getaddrinfo = getaddrinfo
        self._dial = dial or cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first checked address of `host` that answers; raises like `resolve` too."""
        addresses = await resolve(host, port, self._rules, getaddrinfo=self._getaddrinfo)
        failure: httpcore2.ConnectError | httpcore2.ConnectTimeout | None = None
        for _, ip in addresses:
            try:
                return await self._dial.connect_tcp(ip, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError("no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[_SocketOption] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        raise UpstreamUnreachable("connections to local sockets are not allowed", code="egress_denied")

    async def sleep(self, seconds: float) -> None:
        await self._dial.sleep(seconds)


class CheckedTransport(httpx2.AsyncHTTPTransport):
    """An httpx2 transport over `CheckedBackend`, for clients of other libraries too."""

    def __init__(
        self, backend: CheckedBackend, *, tls: ssl.SSLContext | None = None, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        # not super().__init__: it would build a pool that resolves names by itself
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or httpx2.create_ssl_context(trust_env=False),
            max_connections=max_connections,
            max_keepalive_connections=0,  # these requests are rare: nothing is kept that somebody would have to close
            network_backend=backend,
        )


@dataclass(frozen=True, slots=True)
class ControlResponse:
    """A whole answer. `headers` have names in lower case, the last of equal names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ControlClient:
    """Asks one kind of operator-known host; the rules say how private it may be.

    A context manager, or `aclose` it.
    """

    def __init__(
        self,
        rules: EgressRules,
        *,
        getaddrinfo: Getaddrinfo = system_getaddrinfo,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._timeout_s = timeout_s
        self._http = httpx2.AsyncClient(
            transport=CheckedTransport(
                CheckedBackend(rules, getaddrinfo=getaddrinfo), tls=tls, max_connections=max_connections
            ),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def get(self, url: str, *, max_bytes: int = MAX_BODY_BYTES) -> ControlResponse:
        """Get a document; raises like `send`, and `UpstreamFailed` for any status but 200."""
        response = await self.send(
            "GET", url, headers=(("accept", "application/json, */*;q=0.5"),), max_bytes=max_bytes
        )
        if response.status != 200:
            raise UpstreamFailed(
                f"the host answered with status {response.status}", details={"status": response.status}
            )
        return response

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        max_bytes: int = MAX_BODY_BYTES,
    ) -> ControlResponse:
        """Send one request and return the whole answer, a redirect as it is.

        url  http or https, no user in it
        Raises `UpstreamUnreachable` (nothing was sent; `egress_denied` when it may not be), `UpstreamTimeout`
        after the client's `timeout_s` in all, `UpstreamFailed` for a broken, too large or compressed answer.
        """
        request = self._request(method, url, headers, body)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._http.send(request, stream=True)
                try:
                    return await _whole(response, max_bytes)
                finally:
                    await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise UpstreamUnreachable("the host cannot be reached") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise UpstreamTimeout(f"the host did not answer within {self._timeout_s:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise UpstreamFailed("the host did not answer in good HTTP") from error

    def _request(self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> httpx2.Request:
        try:
            target = httpx2.URL(url)
        except (httpx2.InvalidURL, TypeError) as error:
            raise UpstreamUnreachable("the URL is not one", code="egress_denied") from error
        if target.scheme not in ("http", "https") or target.userinfo or not target.host:
            raise UpstreamUnreachable("the URL is not one that connections may go to", code="egress_denied")
        all_headers = [*headers, ("accept-encoding", "identity")]
        return self._http.build_request(method, target, headers=all_headers, content=body or None)


async def _whole(response: httpx2.Response, max_bytes: int) -> ControlResponse:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise UpstreamFailed("the host answered compressed though it was asked not to")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise UpstreamFailed(f"the host answered with more than {max_bytes} bytes")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
    return ControlResponse(response.status_code, headers, bytes(body))
