"""Push notifications through the gateway: what callers and agents say of webhooks, and the agents' posts.

A caller sees its own webhook, an agent sees one of ours, whichever of them asks.
"""

from collections.abc import Mapping

from a2a_gateway import raw
from a2a_gateway.answers import tell
from a2a_gateway.outbound import with_push
from a2a_gateway.parts import Push
from agent_gateway.audit import records
from agent_gateway.errors import wire_form
from agent_gateway.listeners.agent_inbound import AgentInbound
from agent_gateway.listeners.agent_refusals import task_not_found
from agent_gateway.listeners.body import ClientGone, Receive, Scope, Send, read_body
from agent_gateway.listeners.guard import check_head
from agent_gateway.listeners.reply import send_bytes
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.runtime.push_relay import PATH, Webhook
from agent_gateway.snapshot import Snapshot
from agent_gateway.stores.push_store import Hook
from agent_gateway.stores.task_store import Seen
from gateway_policies.refusal import BadRequest, NotFound, Refusal

MAX_UPDATE_BYTES = 1024 * 1024
_TOKENS = (b"x-a2a-notification-token", b"a2a-notification-token")


def webhook_of(inbound: AgentInbound, push: Push) -> Webhook:
    """Return the webhook that a request names."""
    is_private = inbound.agent.config.push_private
    return Webhook(push.url, push.token, push.scheme, push.credentials, is_private=is_private)


async def registered(inbound: AgentInbound, push: Push) -> tuple[Hook, str]:
    """Register the webhook of a request; return it with the secret for the agent."""
    parts = inbound.request.parts
    config_id = push.id or parts.config_id
    return await inbound.gateway.push.register(inbound.where, parts.task_id, config_id, webhook_of(inbound, push))


def ours(inbound: AgentInbound, hook: Hook, secret: str) -> dict[str, object]:
    """Return what the agent is told of a webhook, in 1.0."""
    url = f"{inbound.snapshot.identity.endpoints.public_url}{PATH}{hook.id}"
    authentication = {"scheme": "Bearer", "credentials": secret}
    return {"id": hook.config_id, "url": url, "token": secret, "authentication": authentication}


def theirs(hook: Hook, webhook: Webhook) -> dict[str, object]:
    """Return what the caller is told of its webhook, in 1.0; a credential is not repeated."""
    said: dict[str, object] = {"id": hook.config_id, "taskId": hook.task, "url": webhook.url}
    if webhook.token:
        said["token"] = webhook.token
    if webhook.scheme:
        said["authentication"] = {"scheme": webhook.scheme}
    return said


async def with_hook(inbound: AgentInbound, params: raw.Object) -> tuple[raw.Object, Hook]:
    """Return a message's params with our webhook in place of the caller's."""
    push = inbound.request.parts.push
    assert push is not None
    hook, secret = await registered(inbound, push)
    config = ours(inbound, hook, secret)
    if inbound.request.dialect.version == "0.3" and push.path[-1] != "pushNotification":
        config["authentication"] = {"schemes": ["Bearer"], "credentials": secret}
    return with_push(params, push, config), hook


async def find_hook(inbound: AgentInbound, config_id: str) -> tuple[Hook, Webhook]:
    """Return the caller's webhook of that name for the task of the request; the only one when none is named."""
    found = await inbound.gateway.push.of_task(inbound.where, inbound.request.parts.task_id)
    for hook, webhook in found:
        if hook.config_id == config_id or not config_id:
            return hook, webhook
    raise task_not_found()


# --- what agents post --------------------------------------------------------------------------


async def serve_push(gateway: Gateway, snapshot: Snapshot, scope: Scope, receive: Receive, send: Send) -> None:
    """Take one update that an agent posts, if it is its own and of the task that the webhook is for."""
    status = 202
    try:
        await _take(gateway, snapshot, scope, receive)
    except ClientGone:
        return
    except Refusal as refusal:
        status = wire_form(refusal).http_status
        client = scope.get("client")
        origin = records.Origin("a2a-push", str(client[0]) if client else "")
        gateway.record_refusal(refusal.code, status, origin, None)
    await send_bytes(send, status, b"")


async def _take(gateway: Gateway, snapshot: Snapshot, scope: Scope, receive: Receive) -> None:
    headers = check_head(scope["headers"], snapshot.head_rules)
    if scope["method"] != "POST":
        raise BadRequest("updates are posted", code="method_not_allowed")
    hook = await gateway.push.find(str(scope["path"]).removeprefix(PATH), _proofs(headers))
    if hook is None:
        raise _nothing_here()
    body = await read_body(receive, headers, MAX_UPDATE_BYTES)
    seen = tell(body).seen or tell(_wrapped(body)).seen
    tasks = {one.task_id for one in seen}
    if len(tasks) != 1 or "" in tasks:
        raise _nothing_here()
    (task,) = tasks
    if not hook.task and not await gateway.tasks.claim(hook.where, [Seen(task)], []):
        raise _nothing_here()
    if not await gateway.push.bind(hook, task):
        raise _nothing_here()
    await gateway.tasks.claim(hook.where, [Seen(one.task_id, one.context_id, one.state or "") for one in seen], [])
    has_ended = any(one.state is not None and one.state.is_terminal for one in seen)
    await gateway.push.accept(hook, body, is_last=has_ended)


def _wrapped(body: bytes) -> bytes:
    return b'{"task":%b}' % body


def _proofs(headers: Mapping[bytes, bytes]) -> list[str]:
    found = [headers[name].decode("latin-1") for name in _TOKENS if name in headers]
    scheme, _, credentials = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return [*found, credentials.strip()] if scheme.lower() == "bearer" else found


def _nothing_here() -> NotFound:
    """Return the one answer for a webhook that is unknown, a wrong secret and somebody else's task."""
    return NotFound("nothing is taken here")
