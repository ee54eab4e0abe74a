"""Proposed APIs: what scans found, and an operator's word on it. An approval imports nothing and serves nothing."""

import logging

from fastapi import APIRouter, Request

from agent_gateway.admin.models import ProposalJudged, ProposalShown
from agent_gateway.admin.reading import Readers
from agent_gateway.admin.recording import check_recorder
from agent_gateway.audit import records
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.stores.proposal_store import ProposalStore, Stored
from agent_gateway.telemetry.logs import log

WHAT = "proposal"  # in records, beside the kinds of list


def proposal_routes(gateway: Gateway, data: DataDir, readers: Readers) -> APIRouter:
    """Return the routes about proposals."""
    router = APIRouter()
    store = ProposalStore(data.proposals)

    @router.get("/proposals", tags=["catalogue"])
    async def proposals() -> list[ProposalShown]:
        """Every API that a scan found, with its owner, its risk, and what was said of it."""
        return [proposal_shown(one) for one in await readers.read(store.all)]

    @router.post("/proposals", tags=["catalogue"])
    async def judge(said: ProposalJudged, request: Request) -> ProposalShown:
        """Approve or reject one proposal, as it was looked at; the record comes before the answer."""
        check_recorder(gateway)
        operator: str = request.state.operator.id
        now = gateway.services.clock()
        kept = await readers.read(lambda: store.judge(said.name, said.digest, said.verdict, operator, now))
        place = (kept.spec or kept.url or kept.scanned)[:512]
        verdict = records.Verdict(operator, said.verdict, kept.name, WHAT, place, kept.digest)
        index = gateway.services.recorder.append(records.approval(now, verdict))
        await gateway.services.recorder.durable(index)
        log(logging.INFO, "a proposal was judged", operator=operator, verdict=said.verdict, proposal=kept.name)
        return proposal_shown(kept)

    return router


def proposal_shown(one: Stored) -> ProposalShown:
    """Return a proposal as operators see it."""
    return ProposalShown.model_validate(
        {
            "name": one.name, "state": one.state, "found_in": one.found_in, "spec": one.spec, "url": one.url,
            "title": one.title, "owner": one.owner, "lifecycle": one.lifecycle, "notes": list(one.notes),
            "risk": one.risk, "scanned": one.scanned, "first_seen_at": one.first_seen_at, "seen_at": one.seen_at,
            "by": one.by, "judged_at": one.judged_at, "digest": one.digest, "has_draft": bool(one.draft),
        }
    )  # fmt: skip
