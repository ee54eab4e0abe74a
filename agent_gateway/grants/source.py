"""The credential of one upstream whose authorization server is found by what the upstream says.

Nothing is sent until the upstream asks: its challenge leads to its metadata, to its issuer and to a token, which
serves until it ends or is refused. What a person granted is read from the store, refreshed there, and
never asked for again from here: that is `login`'s work.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from agent_gateway.grants.challenge import Challenge, read_challenge, scopes_of
from agent_gateway.grants.client import Client
from agent_gateway.grants.discovery import Resource, covers, find_resource, find_server
from agent_gateway.grants.store import Grant, GrantStore
from agent_gateway.grants.tokens import JWT_BEARER, Asking, GrantRefused, Tokens, ask, refreshed
from agent_gateway.grants.web import Web
from agent_gateway.ports import Clock
from agent_gateway.telemetry.logs import log
from agent_gateway.upstreams.renewal import CredentialRefused
from gateway_policies.refusal import Refusal, UpstreamFailed, UpstreamUnreachable

MIN_LEFT_S: Final = 10.0  # a token this close to its end serves no more
FAILURE_PAUSE_S: Final = 5.0  # between two attempts at one authorization server
DENIED_S: Final = 300.0  # before rights that were not given are asked for again
GrantKind = Literal["client_credentials", "authorization_code", "jwt_bearer"]


@dataclass(frozen=True, slots=True)
class Discovered:
    """What an operator says of the credential of one upstream.

    folder     where grants of people are kept
    issuer     the only authorization server that may be asked; empty: the first that the upstream names
    client     who the gateway is there; None: it registers itself, or is a workload with an `assertion`
    scope      asked for in place of all that the upstream offers
    """

    upstream: str
    url: str
    kind: GrantKind
    folder: Path
    issuer: str = ""
    client: Client | None = None
    scope: tuple[str, ...] = ()
    assertion: str = field(default="", repr=False)
    redirect_port: int = 0


class GrantSource:
    """The tokens of one upstream in this worker. Implements `upstreams.renewal.Renewal`."""

    def __init__(self, settings: Discovered, web: Web, clock: Clock) -> None:
        self._settings = settings
        self._web = web
        self._clock = clock
        self._store = GrantStore(settings.folder)
        self._stamp = (0, 0)
        self._asking: Asking | None = None
        self._tokens: Tokens | None = None
        self._running: asyncio.Task[None] | None = None
        self._next_try_at = float("-inf")
        self._taken_at = float("-inf")
        self._denied: tuple[tuple[str, ...], float] = ((), float("-inf"))  # scopes, and until when
        self.generation = 0

    async def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Return the header that proves the gateway; none while the upstream has asked for nothing.

        Raises `UpstreamUnreachable` (`credential_unavailable`), or `UpstreamFailed` (`login_required`).
        """
        if self._settings.kind == "authorization_code":
            self._follow()
        if self._tokens is not None and self._is_over(self._tokens):
            await self._once(self._refresh if self._settings.kind == "authorization_code" else self._fetch)
        if self._tokens is None:
            return ()
        if self._is_over(self._tokens):
            raise UpstreamUnreachable(
                "the gateway gets no token for this upstream now",
                code="credential_unavailable",
                retry_after_s=FAILURE_PAUSE_S,
            )
        return ((b"authorization", b"Bearer " + self._tokens.access.encode()),)

    async def renew(self, refused: CredentialRefused, seen: int) -> bool:
        """Get another token; see `Renewal`."""
        if self._settings.kind == "authorization_code":
            self._follow()
        if self.generation != seen:
            return True
        challenge = read_challenge(refused.challenge)
        if refused.status == 403:
            return await self._step_up(challenge, seen)
        if self._clock() < max(self._next_try_at, self._taken_at + FAILURE_PAUSE_S):
            if self._settings.kind == "authorization_code":
                raise self._login_required()
            return False  # a token just fetched and refused: another one would not be better
        await self._once(lambda: self._begin(challenge))
        return self.generation != seen

    # --- what is asked for -----------------------------------------------------------------

    async def _begin(self, challenge: Challenge) -> None:
        """Find the authorization server anew, for it may have changed, and get a token there."""
        settings = self._settings
        resource = await find_resource(self._web, settings.url, challenge)
        issuer = issuer_of(settings, resource)
        if settings.kind == "authorization_code":
            grant = self._store.read(settings.upstream)
            if grant is None or (grant.issuer, grant.resource) != (issuer, resource.name) or not grant.tokens.refresh:
                raise self._login_required()
            await self._refresh()
            return
        server = await find_server(self._web, issuer)
        before = self._asking.scope if self._asking is not None and self._asking.server.issuer == issuer else ()
        scope = scopes_of((*before, *first_scope(settings, resource, challenge)))
        self._asking = Asking(server, settings.client, resource.name, scope)
        await self._fetch()

    async def _step_up(self, challenge: Challenge, seen: int) -> bool:
        """Ask for more rights, as far as the upstream names any that were not asked for yet."""
        if challenge.error != "insufficient_scope" or not challenge.scope:
            return False
        if self._settings.kind == "authorization_code":
            await asyncio.to_thread(self._want, challenge.scope)
            raise self._login_required(challenge.scope)
        if self._asking is None:
            return False
        before, wanted = self._asking, scopes_of((*self._asking.scope, *challenge.scope))
        denied, until = self._denied
        if wanted == before.scope or (wanted == denied and self._clock() < until):
            return False
        self._asking = replace(before, scope=wanted)
        await self._once(self._fetch)
        if self.generation == seen:
            self._asking, self._denied = before, (wanted, self._clock() + DENIED_S)
        return self.generation != seen

    def _want(self, scope: tuple[str, ...]) -> None:
        """Keep what the upstream wants for the next login."""
        with self._store.locked(self._settings.upstream):
            grant = self._store.read(self._settings.upstream)
            if grant is not None and not set(scope) <= set(grant.wanted):
                self._store.write(self._settings.upstream, replace(grant, wanted=scopes_of((*grant.wanted, *scope))))

    # --- tokens ----------------------------------------------------------------------------

    async def _fetch(self) -> None:
        assert self._asking is not None
        grant = {"grant_type": "client_credentials"}
        if self._settings.kind == "jwt_bearer":
            grant = {"grant_type": JWT_BEARER, "assertion": self._settings.assertion}
        self._take(await ask(self._web, self._asking, grant, self._clock()))

    async def _refresh(self) -> None:
        """Refresh what a person granted, unless another worker just did."""
        name, used = self._settings.upstream, self._tokens
        handle = await asyncio.to_thread(self._store.acquire, name)
        try:
            grant = self._store.read(name)
            if grant is None or not grant.tokens.refresh:
                raise self._login_required()
            if used is None or grant.tokens.access == used.access:
                server = await find_server(self._web, grant.issuer)
                asking = Asking(server, known_client(self._settings, grant), grant.resource, grant.tokens.scope)
                form = {"grant_type": "refresh_token", "refresh_token": grant.tokens.refresh}
                after = refreshed(grant.tokens, await ask(self._web, asking, form, self._clock()))
                self._store.write(name, replace(grant, tokens=after))
        except GrantRefused as refused:
            if refused.reason == "invalid_grant":
                raise self._login_required() from None
            raise
        finally:
            os.close(handle)
        self._follow()

    def _follow(self) -> None:
        """Take up the grant in the store when it is another one than before."""
        stamp = self._store.stamp(self._settings.upstream)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        grant = self._store.read(self._settings.upstream)
        if grant is None:
            self._tokens = None
        elif self._is_ours(grant) and (self._tokens is None or self._tokens.access != grant.tokens.access):
            self._take(grant.tokens)

    def _is_ours(self, grant: Grant) -> bool:
        # INVARIANT: a token goes to what it was granted for, also when an upstream's name comes to mean another host.
        is_for_us = covers(grant.resource, self._settings.url)
        return is_for_us and self._settings.issuer in ("", grant.issuer)

    def _take(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._taken_at = self._clock()
        self.generation += 1

    def _is_over(self, tokens: Tokens) -> bool:
        return self._clock() >= tokens.expires_at - MIN_LEFT_S

    async def _once(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this once, however many wait for it; it outlives a caller that goes away."""
        if self._running is None or self._running.done():
            if self._clock() < self._next_try_at:
                return
            self._running = asyncio.ensure_future(self._told(work))
            self._running.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._running)

    async def _told(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it and say in the log why it failed; callers hear of what they can have changed."""
        try:
            await work()
            if self._tokens is not None and self._is_over(self._tokens):  # the next would be as good as over too
                self._next_try_at = self._clock() + FAILURE_PAUSE_S
        except Refusal as failure:
            log(logging.WARNING, "no token for an upstream", upstream=self._settings.upstream, why=failure.message)
            self._next_try_at = self._clock() + FAILURE_PAUSE_S
            if failure.code == "login_required":
                raise

    def _login_required(self, scope: tuple[str, ...] = ()) -> UpstreamFailed:
        what = f" for `{' '.join(scope)}`" if scope else ""
        return UpstreamFailed(
            f"somebody must grant the gateway access to this upstream{what}",
            code="login_required",
            hint=f"an operator can run `agent-gateway login {self._settings.upstream}`",
        )


def issuer_of(settings: Discovered, resource: Resource) -> str:
    """Return the authorization server to ask; raises `UpstreamFailed` when the configured one is not named."""
    if not settings.issuer:
        return resource.issuers[0]
    if settings.issuer not in resource.issuers:
        raise UpstreamFailed("the upstream names another issuer than the configured one", code="issuer_mismatch")
    return settings.issuer


def first_scope(settings: Discovered, resource: Resource, challenge: Challenge) -> tuple[str, ...]:
    """Return what to ask for: the operator's word, the challenge's, or else all that there is."""
    return scopes_of((*settings.scope, *challenge.scope)) or resource.scopes


def known_client(settings: Discovered, grant: Grant) -> Client:
    """Return the client of a grant; a configured one's secret is in the configuration alone."""
    client = settings.client
    return client if client is not None and client.id == grant.client.id else grant.client
