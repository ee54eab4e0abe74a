"""The push relay: agents post to us, we post to the caller's webhook, and neither learns of the other.

The agent gets a URL and a secret of ours. The webhook is kept sealed, checked when it is
registered and again, address by address, whenever something is posted to it. What does not
arrive is tried again with growing pauses, and kept as a dead letter in the end.
"""

import asyncio
import hmac
import json
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules, Getaddrinfo, resolve, system_getaddrinfo
from agent_gateway.ports import Clock
from agent_gateway.stores.push_store import DeadLetter, Delivery, Hook, PushStore, Share
from agent_gateway.stores.task_store import Owner, Where
from agent_gateway.telemetry.logs import log
from gateway_policies.refusal import BadRequest, Refusal, TooMuch, UpstreamFailed, UpstreamUnreachable

PATH = "/a2a-push/"
FIRST_PAUSE_S = 1.0
MAX_TRIES = 8  # about four minutes in all
LEASE_S = 60.0
POLL_S = 5.0  # how long an update of another worker may wait
AT_ONCE = 64
AT_ONCE_PER_OWNER = 4  # so that whose webhooks are slow waits for them alone
TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 64 * 1024

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a caller wants updates, with what it expects beside them.

    secret      that the agent posts with; ours, unknown to the caller
    is_private  the operator lets it be plain http, on private addresses
    """

    url: str = field(repr=False)
    token: str = field(default="", repr=False)
    scheme: str = ""
    credentials: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    is_private: bool = False


class PushRelay:
    """The relay of one worker; the queue is shared by all of them.

    key          32 bytes that webhooks are sealed with
    getaddrinfo  the resolver below the egress rules
    """

    def __init__(
        self,
        store: PushStore,
        key: bytes,
        clock: Clock,
        first_pause_s: float = FIRST_PAUSE_S,
        getaddrinfo: Getaddrinfo = system_getaddrinfo,
    ) -> None:
        self._store = store
        self._box = AESGCM(key)
        self._clock = clock
        self._first_pause_s = first_pause_s
        self._getaddrinfo = getaddrinfo
        self._clients: dict[bool, ControlClient] = {}  # by whether webhooks may be private; making one reads key files
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="push")
        self._nudge = asyncio.Event()
        self._on_the_way: dict[asyncio.Task[None], Owner] = {}

    # --- registrations -----------------------------------------------------------------------

    async def register(self, where: Where, task: str, config_id: str, webhook: Webhook) -> tuple[Hook, str]:
        """Keep a webhook; return it with the secret that the agent is to post with.

        Raises `BadRequest` (`invalid_params`) for one that nothing may be posted to, `TooMuch`.
        """
        if not all(map(_fits_header, (webhook.token, webhook.scheme, webhook.credentials))):
            raise BadRequest(
                "a webhook's token, scheme and credentials are printable ASCII: they travel in headers",
                code="invalid_params",
            )
        await check_url(webhook.url, is_private=webhook.is_private, getaddrinfo=self._getaddrinfo)
        hook_id, secret = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
        sealed = self._seal(hook_id, where, webhook, secret)
        hook = Hook(hook_id, where, task, config_id or hook_id, sealed, self._clock())
        if not await self._run(lambda: self._store.put(hook)):
            raise TooMuch("too many webhooks are registered", hint="delete those of tasks that are done")
        return hook, secret

    async def bind(self, hook: Hook, task: str) -> bool:
        """Say which task a webhook is for."""
        return await self._run(lambda: self._store.bind(hook.id, task))

    async def of_task(self, where: Where, task: str) -> Sequence[tuple[Hook, Webhook]]:
        """Return the owner's webhooks of one task, readable."""
        hooks = await self._run(lambda: self._store.of_task(where, task))
        return [(hook, webhook) for hook in hooks if (webhook := self._opened(hook)) is not None]

    async def forget(self, hook: Hook) -> None:
        """Forget a webhook and what waits for it."""
        await self._run(lambda: self._store.drop(hook.id))

    async def find(self, hook_id: str, proofs: Sequence[str]) -> Hook | None:
        """Return the hook that an agent posts to, if one of `proofs` is its secret."""
        hook = await self._run(lambda: self._store.get(hook_id))
        webhook = None if hook is None else self._opened(hook)
        if webhook is None:
            return None
        secret = webhook.secret.encode()
        return hook if any(hmac.compare_digest(proof.encode(), secret) for proof in proofs) else None

    # --- deliveries --------------------------------------------------------------------------

    async def accept(self, hook: Hook, body: bytes, *, is_last: bool = False) -> None:
        """Take an update for delivery; raises `TooMuch` when too many wait.

        is_last  the task has ended, and its webhook with it once this has been delivered
        """
        if not await self._run(lambda: self._store.add(hook.id, body, self._clock(), is_last=is_last)):
            raise TooMuch("too many updates wait for their webhooks", retry_after_s=10)
        self._nudge.set()

    async def run(self) -> None:
        """Deliver what is due, for ever; nobody waits for somebody else's webhook."""
        try:
            while True:
                self._nudge.clear()
                await self._begin_due()
                try:
                    async with asyncio.timeout(min(POLL_S, self._first_pause_s)):
                        await self._nudge.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._on_the_way:
                task.cancel()
            await asyncio.gather(*self._on_the_way, return_exceptions=True)

    async def deliver_due(self) -> int:
        """Try what is due now once; return how much that was."""
        begun = await self._begin_due()
        await asyncio.gather(*begun)
        return len(begun)

    async def _begin_due(self) -> Sequence[asyncio.Task[None]]:
        counts = Counter(self._on_the_way.values())
        room = AT_ONCE - len(self._on_the_way)
        if room <= 0:
            return ()
        busy = frozenset(owner for owner, count in counts.items() if count >= AT_ONCE_PER_OWNER)
        per_owner = AT_ONCE_PER_OWNER - max((counts[owner] for owner in counts if owner not in busy), default=0)
        share = Share(room, per_owner, busy)
        due = await self._run(lambda: self._store.take(self._clock(), LEASE_S, share))
        return [self._begin(one) for one in due]

    def _begin(self, delivery: Delivery) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._deliver(delivery))
        self._on_the_way[task] = delivery.owner
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._on_the_way[task]
        self._nudge.set()
        fault = None if task.cancelled() else task.exception()
        if fault is not None:  # the update is lent: it is due again by itself
            log(logging.ERROR, "a delivery failed inside the gateway", why=type(fault).__name__)

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Return (hook, why) of what never arrived, newest first."""
        return await self._run(self._store.dead)

    async def prune(self, older_than_s: float) -> None:
        """Forget webhooks older than that."""
        await self._run(lambda: self._store.prune(self._clock() - older_than_s))

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        await self._run(self._store.close)
        self._thread.shutdown(wait=False)

    async def _deliver(self, delivery: Delivery) -> None:
        hook = await self._run(lambda: self._store.get(delivery.hook))
        webhook = None if hook is None else self._opened(hook)
        if webhook is None:
            await self._run(lambda: self._store.done(delivery.id))
            return
        try:
            await self._post(webhook, delivery.body)
        except Refusal as refusal:
            await self._failed(delivery, refusal)
            return
        await self._run(lambda: self._store.done(delivery.id))

    async def _post(self, webhook: Webhook, body: bytes) -> None:
        client = await self._client(is_private=webhook.is_private)
        answer = await client.send(
            "POST", webhook.url, headers=_headers(webhook), body=body, max_bytes=MAX_ANSWER_BYTES
        )
        if not 200 <= answer.status < 300:
            raise UpstreamFailed(f"the webhook answers with status {answer.status}", code="webhook_refused")

    async def _client(self, *, is_private: bool) -> ControlClient:
        def make() -> ControlClient:
            rules = EgressRules(allow_private=is_private)
            # As many as are on their way: who waits for a connection waits for the webhooks of others.
            return ControlClient(rules, getaddrinfo=self._getaddrinfo, timeout_s=TIMEOUT_S, max_connections=AT_ONCE)

        if is_private not in self._clients:
            made = await self._run(make)
            self._clients.setdefault(is_private, made)
        return self._clients[is_private]

    async def _failed(self, delivery: Delivery, refusal: Refusal) -> None:
        now = self._clock()
        if refusal.code == "egress_denied" or delivery.tries + 1 >= MAX_TRIES:
            await self._run(lambda: self._store.bury(delivery.id, refusal.code, now))
        else:
            pause_s = self._first_pause_s * 2**delivery.tries
            await self._run(lambda: self._store.put_off(delivery.id, now + pause_s))

    # --- inside ------------------------------------------------------------------------------

    def _seal(self, hook_id: str, where: Where, webhook: Webhook, secret: str) -> bytes:
        inside = [webhook.url, webhook.token, webhook.scheme, webhook.credentials, secret, webhook.is_private]
        nonce = secrets.token_bytes(12)
        return nonce + self._box.encrypt(nonce, json.dumps(inside).encode(), _bound(hook_id, where))

    def _opened(self, hook: Hook) -> Webhook | None:
        try:
            inside = self._box.decrypt(hook.sealed[:12], hook.sealed[12:], _bound(hook.id, hook.where))
        except (InvalidTag, ValueError):
            return None
        return Webhook(*json.loads(inside))

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _fits_header(text: str) -> bool:
    return text.isascii() and (not text or text.isprintable())


def _bound(hook_id: str, where: Where) -> bytes:
    return json.dumps([hook_id, where.owner.tenant, where.owner.key, where.agent]).encode()


async def check_url(url: str, *, is_private: bool, getaddrinfo: Getaddrinfo = system_getaddrinfo) -> None:
    """Refuse a webhook that nothing may be posted to, in one sentence that tells nothing of any network.

    A name that cannot be resolved now is taken: it is resolved and checked again for every post.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        is_plain = parts.username is None and parts.password is None and not parts.fragment and bool(parts.hostname)
        if parts.port == 0:
            raise _not_allowed()
        if not is_plain or parts.scheme not in (("https", "http") if is_private else ("https",)):
            raise _not_allowed()
        rules = EgressRules(allow_private=is_private)
        await resolve(parts.hostname or "", port, rules, getaddrinfo=getaddrinfo)
    except UpstreamUnreachable as failure:
        if failure.code != UpstreamUnreachable.code:
            raise _not_allowed() from None
    except (ValueError, UpstreamFailed):
        raise _not_allowed() from None


def _not_allowed() -> BadRequest:
    return BadRequest(
        "nothing may be posted to this webhook", code="invalid_params", hint="use https and a public address"
    )


def _headers(webhook: Webhook) -> list[tuple[str, str]]:
    headers = [("content-type", "application/json")]
    if webhook.token:
        headers += [("x-a2a-notification-token", webhook.token), ("a2a-notification-token", webhook.token)]
    if webhook.credentials:
        headers.append(("authorization", f"{webhook.scheme or 'Bearer'} {webhook.credentials}"))
    return headers
