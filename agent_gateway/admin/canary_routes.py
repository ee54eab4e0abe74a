"""Canaries: the record of an operator's step, written before the command line changes anything."""

import logging
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from agent_gateway.admin.models import MAX_NAME, Shown
from agent_gateway.audit import records
from agent_gateway.config.upstream_openapi import OpenApiUpstream
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.keeper import Keeper
from agent_gateway.telemetry.logs import log
from gateway_policies.refusal import NotFound

WHAT: Final = "canary"  # in records, beside the kinds of list
MAX_CALLERS: Final = 64
Step = Literal["set", "approved", "rejected"]
Caller = Annotated[str, Field(min_length=1, max_length=2 * MAX_NAME)]


class CanarySaid(BaseModel):
    """A step of a canary: begun (`set`), promoted (`approved`) or dropped (`rejected`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    upstream: str = Field(min_length=1, max_length=MAX_NAME)
    sibling: str = Field(min_length=1, max_length=MAX_NAME)
    callers: list[Caller] = Field(min_length=1, max_length=MAX_CALLERS)
    pin: str = Field(min_length=1, max_length=MAX_NAME)
    verdict: Step


class CanaryNoted(Shown):
    """What was recorded, and when."""

    upstream: str
    verdict: Step
    at_ms: int
    """Unix milliseconds."""


def canary_routes(gateway: Gateway, keeper: Keeper) -> APIRouter:
    """Return the route about canaries."""
    router = APIRouter()

    @router.post("/canaries", tags=["catalogue"])
    async def note(said: CanarySaid, request: Request) -> CanaryNoted:
        """Record a step of a canary; the record comes before the answer, and the answer before the change."""
        if not isinstance(keeper.loaded.config.upstreams.get(said.upstream), OpenApiUpstream):
            raise NotFound(f"no API is called `{said.upstream}`")
        operator: str = request.state.operator.id
        now = gateway.services.clock()
        name = f"{said.sibling} for {', '.join(said.callers)}"
        verdict = records.Verdict(operator, said.verdict, said.upstream, WHAT, name, said.pin)
        index = gateway.services.recorder.append(records.approval(now, verdict))
        await gateway.services.recorder.durable(index)
        log(logging.INFO, "a step of a canary", operator=operator, verdict=said.verdict, upstream=said.upstream)
        return CanaryNoted(upstream=said.upstream, verdict=said.verdict, at_ms=int(now * 1000))

    return router
