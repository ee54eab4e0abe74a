"""Withheld definitions: what waits, what changed, and an operator's word on it."""

import logging

import msgspec
from fastapi import APIRouter, Request

from agent_gateway.admin.models import PinJudged, PinShown
from agent_gateway.admin.reading import Readers
from agent_gateway.admin.recording import check_recorder
from agent_gateway.audit import records
from agent_gateway.mesh.holding import OPERATIONS
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.keeper import Keeper
from agent_gateway.runtime.pinning import CARD
from agent_gateway.stores.pin_store import PinStore, Place, Waiting
from agent_gateway.telemetry.logs import log
from gateway_policies import pins


def pin_routes(gateway: Gateway, keeper: Keeper, data: DataDir, readers: Readers) -> APIRouter:
    """Return the routes about pins."""
    router = APIRouter()
    store = PinStore(data.pins)

    @router.get("/pins", tags=["catalogue"])
    async def waiting() -> list[PinShown]:
        """Every definition that is withheld, and how it differs from the approved one."""
        return [pin_shown(one) for one in await readers.read(store.waiting)]

    @router.post("/pins", tags=["catalogue"])
    async def judge(said: PinJudged, request: Request) -> list[PinShown]:
        """Approve or reject one withheld definition; the answer is what waits now.

        An approval is served at once by this worker, and within half a minute by the others.
        """
        check_recorder(gateway)
        place = Place(said.upstream, said.what, said.name)
        operator: str = request.state.operator.id
        now = gateway.services.clock()
        replaces = ""
        if said.verdict == "approved":
            replaces = await readers.read(lambda: store.approve(place, said.pin, operator, now))
            if said.what == OPERATIONS:  # the folder of the API says what is served
                await keeper.release(gateway, said.upstream, said.name, said.pin)
        else:
            await readers.read(lambda: store.reject(place, said.pin))
        verdict = records.Verdict(operator, said.verdict, said.upstream, said.what, said.name, said.pin, replaces)
        index = gateway.services.recorder.append(records.approval(now, verdict))
        await gateway.services.recorder.durable(index)
        log(logging.INFO, "a definition was judged", operator=operator, verdict=said.verdict, upstream=said.upstream)
        await keeper.reconsider(gateway, said.upstream)
        if said.what == CARD:
            keeper.nudge(said.upstream)  # a card is taken when the agent is looked at
        return [pin_shown(one) for one in await readers.read(store.waiting)]

    return router


def pin_shown(one: Waiting) -> PinShown:
    """Return a withheld definition with its differences."""
    after: object = msgspec.json.decode(one.definition)
    before: object = msgspec.json.decode(one.approved) if one.approved else {}
    place = one.place
    return PinShown.model_validate(
        {
            "upstream": place.upstream,
            "what": place.kind,
            "name": place.native,
            "state": one.state,
            "pin": one.pin,
            "approved_pin": one.approved_pin,
            "seen_at": one.seen_at,
            "changes": [str(change) for change in pins.diff(before, after)],
        }
    )
