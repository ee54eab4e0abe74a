"""From configuration to running upstreams: made once, kept while their settings stay the same."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent_gateway.config.load import Loaded
from agent_gateway.config.secret import Secret
from agent_gateway.config.upstream_mcp import McpUpstream as McpConfig
from agent_gateway.config.upstream_openapi import OpenApiUpstream as ApiConfig
from agent_gateway.config.upstreams import ClientCredentialsAuth, HeaderAuth
from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.identity.broker import Broker, ClientCredentials, StaticHeader, UpstreamCredential, posting
from agent_gateway.ports import Clock, McpUpstream
from agent_gateway.runtime.api_upstreams import ApiInputs, inputs_of, make_api
from agent_gateway.upstreams.build import build_upstream
from agent_gateway.upstreams.settings import UpstreamLimits, UpstreamSettings, UpstreamTimeouts
from gateway_policies.principal import Principal

Credentials = Callable[[Principal], Awaitable[Sequence[tuple[bytes, bytes]]]]


@dataclass(frozen=True, slots=True)
class Kept:
    """One running upstream and everything it was made from."""

    settings: UpstreamSettings | ApiInputs
    credential: UpstreamCredential
    upstream: McpUpstream


def make_upstreams(loaded: Loaded, previous: Mapping[str, Kept], clock: Clock) -> dict[str, Kept]:
    """Return every enabled upstream; those whose settings and secrets are unchanged are the same objects."""
    found: dict[str, Kept] = {}
    for name, config in loaded.config.upstreams.items():
        if not config.enabled or not isinstance(config, McpConfig | ApiConfig):
            continue
        credential = credential_of(config, loaded)
        settings = (
            settings_of(name, config, loaded) if isinstance(config, McpConfig) else inputs_of(name, config, loaded)
        )
        kept = previous.get(name)
        if kept is not None and kept.settings == settings and kept.credential == credential:
            found[name] = kept
            continue
        found[name] = Kept(settings, credential, _made(name, settings, credential, loaded, clock))
    return found


def _made(
    name: str, settings: UpstreamSettings | ApiInputs, credential: UpstreamCredential, loaded: Loaded, clock: Clock
) -> McpUpstream:
    if isinstance(settings, ApiInputs):
        rules = EgressRules(allow_private=settings.config.allow_private)
        always = _credentials(name, rules, settings.config.url, credential, clock)
        return make_api(name, settings, loaded, always, clock)
    credentials = _credentials(name, settings.rules, settings.url, credential, clock)
    return build_upstream(settings, credentials=credentials, clock=clock, environ=os.environ)


def settings_of(name: str, config: McpConfig, loaded: Loaded) -> UpstreamSettings:
    """Return the settings of one upstream; secrets of a child's environment are in them."""
    limits = UpstreamLimits(
        max_result=config.result_bytes or loaded.config.limits.result_bytes,
        max_connections=config.max_connections,
        max_waiting=config.max_waiting,
        max_sessions=config.max_children,
    )
    timeouts = UpstreamTimeouts(
        connect_s=config.connect_timeout_s,
        open_s=max(config.connect_timeout_s * 4, 20.0),
        session_idle_s=config.idle_timeout_s,
    )
    if config.url is not None:
        rules = EgressRules(allow_private=config.allow_private)
        return UpstreamSettings(
            name, "http", url=config.url, era=config.era, isolation=config.isolated_by, timeouts=timeouts,
            limits=limits, rules=rules,
        )  # fmt: skip
    assert config.command is not None
    env = {key: loaded.reveal(value) if isinstance(value, Secret) else value for key, value in config.env.items()}
    return UpstreamSettings(
        name, "stdio", command=config.command[0], args=config.command[1:], env=env, inherit=("PATH", "HOME"),
        cwd=str(loaded.base_dir / config.cwd if config.cwd else loaded.base_dir), era=config.era,
        isolation=config.isolated_by, timeouts=timeouts, limits=limits,
    )  # fmt: skip


def credential_of(config: McpConfig | ApiConfig, loaded: Loaded) -> UpstreamCredential:
    """Return what the gateway proves itself with at this upstream."""
    if config.url is None:
        return UpstreamCredential("")
    parts = urlsplit(config.url)
    origin = f"{parts.scheme}://{parts.netloc}"
    auth = config.auth
    if isinstance(auth, HeaderAuth):
        return UpstreamCredential(origin, StaticHeader(auth.name, auth.prefix + loaded.reveal(auth.value)))
    if isinstance(auth, ClientCredentialsAuth):
        source = ClientCredentials(
            auth.token_url, auth.client_id, loaded.reveal(auth.client_secret), auth.scope or "",
            auth.resource or config.url,
        )  # fmt: skip
        return UpstreamCredential(origin, source)
    return UpstreamCredential(origin)


def _credentials(name: str, rules: EgressRules, url: str, credential: UpstreamCredential, clock: Clock) -> Credentials:
    broker = Broker({name: credential}, post_form=posting(ControlClient(rules)), clock=clock)

    async def headers(principal: Principal) -> Sequence[tuple[bytes, bytes]]:
        return await broker.headers(principal, name, url)

    return headers
