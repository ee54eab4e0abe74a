"""Push notifications: what never arrived."""

from fastapi import APIRouter

from agent_gateway.admin.models import DeadLetterShown
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.stores.push_store import DeadLetter


def push_routes(gateway: Gateway) -> APIRouter:
    """Return the routes about webhooks."""
    router = APIRouter()

    @router.get("/dead-letters", tags=["push"])
    async def dead_letters() -> list[DeadLetterShown]:
        """Updates of tasks that no webhook took, of every worker, newest first. Older ones give way to newer."""
        return [letter_shown(one) for one in await gateway.push.dead_letters()]

    return router


def letter_shown(one: DeadLetter) -> DeadLetterShown:
    """Return a dead letter without its hook, which only the agent that posts to it should know."""
    return DeadLetterShown(
        at=one.at, tenant=one.tenant, agent=one.agent, task=one.task, why=one.why, size_bytes=one.size_bytes
    )
