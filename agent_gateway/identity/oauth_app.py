"""The OAuth routes: metadata, keys and the token endpoint, over injected services.

Thin: bytes in, values to `token_service` and `metadata`, bytes out. The
listeners mount the routes; limits on headers and time are theirs.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent_gateway.identity import metadata
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.identity.token_service import TokenAnswer, TokenRequest, TokenService, refuse

MAX_FORM_BYTES = 32 * 1024
MAX_FIELDS = 32
MAX_TOKEN_THREADS = 4
MAX_TOKEN_WAITERS = 64
_FORM = "application/x-www-form-urlencoded"
_CACHEABLE = {"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}

Handler = Callable[[Request], Awaitable[Response]]


class OAuthRoutes:
    """The handlers, over whatever configuration is current when a request comes.

    service    the token service, None when it is switched off: its routes then answer 404
    endpoints  the protected resources
    """

    def __init__(self, *, service: Callable[[], TokenService | None], endpoints: Callable[[], Endpoints]) -> None:
        self._service = service
        self._endpoints = endpoints
        self._threads: CapacityLimiter | None = None
        self._waiting = 0

    def routes(self) -> list[Route]:
        """Return the routes, for a Starlette app or router. `/.well-known/openid-configuration` is none of
        them: nobody logs in here, and no ID token is issued."""
        resource, server = metadata.PROTECTED_RESOURCE, metadata.AUTHORIZATION_SERVER
        return [
            Route(resource, self._protected_resource, methods=["GET"]),
            Route(resource + "{suffix:path}", self._protected_resource, methods=["GET"]),
            Route(server, self._authorization_server, methods=["GET"]),
            Route(server + "{suffix:path}", self._authorization_server, methods=["GET"]),
            Route(metadata.JWKS_PATH, self._jwks, methods=["GET"]),
            Route(metadata.AUTHORIZE_PATH, self._authorize, methods=["GET", "POST"]),
            Route(metadata.TOKEN_PATH, self._token, methods=["POST"]),
        ]

    async def _protected_resource(self, request: Request) -> Response:
        document = self._endpoints().document(request.path_params.get("suffix", ""))
        return _not_found() if document is None else JSONResponse(document, headers=_CACHEABLE)

    async def _authorization_server(self, request: Request) -> Response:
        service = self._service()
        if service is None:
            return _not_found()
        wanted = metadata.well_known(service.issuer, metadata.AUTHORIZATION_SERVER)
        is_ours = wanted.endswith(metadata.AUTHORIZATION_SERVER + request.path_params.get("suffix", ""))
        return JSONResponse(service.metadata(), headers=_CACHEABLE) if is_ours else _not_found()

    async def _jwks(self, request: Request) -> Response:
        service = self._service()
        return _not_found() if service is None else JSONResponse(service.jwks(), headers=_CACHEABLE)

    async def _authorize(self, request: Request) -> Response:
        # never a redirect: nobody here has registered a place to be sent to
        return _rendered(refuse("unsupported_response_type", "no flow of this server uses the authorization endpoint"))

    async def _token(self, request: Request) -> Response:
        service = self._service()
        if service is None:
            return _not_found()
        asked = await _token_request(request)
        if isinstance(asked, TokenAnswer):
            return _rendered(asked)
        if self._waiting >= MAX_TOKEN_WAITERS:
            busy = TokenAnswer(503, {"error": "temporarily_unavailable"}, (("Retry-After", "1"),))
            return _rendered(busy)
        if self._threads is None:
            self._threads = CapacityLimiter(MAX_TOKEN_THREADS)
        self._waiting += 1
        try:
            return _rendered(await anyio.to_thread.run_sync(service.token, asked, limiter=self._threads))
        finally:
            self._waiting -= 1


async def _token_request(request: Request) -> TokenRequest | TokenAnswer:
    types = request.headers.getlist("content-type")
    if len(types) != 1 or types[0].split(";")[0].strip().lower() != _FORM:
        return refuse("invalid_request", f"the body must be {_FORM}")
    authorizations = request.headers.getlist("authorization")
    if len(authorizations) > 1 or request.url.query:
        return refuse("invalid_request", "one authorization header, and no query, is accepted")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return refuse("invalid_request", f"the body is longer than {MAX_FORM_BYTES} bytes")
    try:
        form = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        return refuse("invalid_request", "the body is not a form")
    return TokenRequest(form=form, authorization=authorizations[0] if authorizations else None)


def _rendered(answer: TokenAnswer) -> Response:
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache", **dict(answer.headers)}
    return JSONResponse(answer.body, status_code=answer.status, headers=headers)


def _not_found() -> Response:
    return JSONResponse({"error": "not_found"}, status_code=404)
