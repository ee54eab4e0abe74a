"""The admin API behind its door: routes, their OpenAPI document, and how it answers what goes wrong.

FastAPI and the types of every answer take longer to import and to build than the rest of a worker takes to start,
so `app` comes here when the first operator does.
"""

from typing import Any, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from agent_gateway import VERSION
from agent_gateway.admin.audit_routes import audit_routes
from agent_gateway.admin.canary_routes import canary_routes
from agent_gateway.admin.catalog_routes import catalog_routes
from agent_gateway.admin.health_routes import health_routes
from agent_gateway.admin.models import Problem
from agent_gateway.admin.pin_routes import pin_routes
from agent_gateway.admin.proposal_routes import proposal_routes
from agent_gateway.admin.push_routes import push_routes
from agent_gateway.admin.reading import Readers, Streams
from agent_gateway.admin.refusing import NO_STORE, refused
from agent_gateway.admin.registry_routes import registry_routes
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.keeper import Keeper
from gateway_policies.refusal import BadRequest, NotFound, Refusal, Unavailable

_PROBLEM_CONTENT: Final = {"application/problem+json": {"schema": Problem.model_json_schema()}}


def admin_api(gateway: Gateway, keeper: Keeper, data: DataDir, streams: Streams) -> FastAPI:
    """Return the API. Who asks was checked before: `request.state.operator` is an operator, or the path a probe's."""
    app = FastAPI(
        title="Agent Gateway admin API",
        version=VERSION,
        description="For operators of the whole gateway. Send a bearer token whose audience is this listener.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"default": {"description": "Problem details", "content": _PROBLEM_CONTENT}},
    )
    readers = Readers()
    token = Depends(HTTPBearer(auto_error=False, description="Checked before any route is looked at."))
    app.include_router(health_routes(gateway))
    every: dict[str, Any] = {"prefix": "/v1", "dependencies": [token, Depends(_not_stored)]}
    app.include_router(catalog_routes(gateway, keeper, data, readers), **every)
    app.include_router(pin_routes(gateway, keeper, data, readers), **every)
    app.include_router(canary_routes(gateway, keeper), **every)
    app.include_router(proposal_routes(gateway, data, readers), **every)
    app.include_router(push_routes(gateway), **every)
    app.include_router(registry_routes(gateway, data, readers), **every)
    app.include_router(audit_routes(gateway, data, readers, streams), **every)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _failed)
    return app


def _not_stored(response: Response) -> None:
    response.headers.update(NO_STORE)


# --- what goes wrong, as problem details -------------------------------------------------------


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refused(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    mistakes = [f"{'/'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:8]]
    return refused(BadRequest("the request does not fit", code="invalid_params", details={"mistakes": mistakes}))


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return refused(BadRequest("this method is not served here", code="method_not_allowed"))
    if error.status_code == 400:
        return refused(BadRequest("the body is no JSON", code="parse_error"))
    return refused(NotFound("nothing is served here", hint="read /openapi.json"))


async def _failed(request: Request, error: Exception) -> Response:
    return refused(Unavailable("the gateway failed on this request", code="internal"))
