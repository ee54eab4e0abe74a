"""From configuration to running upstreams: made once, kept while their settings stay the same."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from a2a_gateway.cards import WELL_KNOWN
from agent_gateway.config.load import Loaded
from agent_gateway.config.secret import Secret
from agent_gateway.config.upstream_a2a import A2aUpstream as A2aConfig
from agent_gateway.config.upstream_arazzo import ArazzoUpstream as FlowConfig
from agent_gateway.config.upstream_mcp import McpUpstream as McpConfig
from agent_gateway.config.upstream_openapi import OpenApiUpstream as ApiConfig
from agent_gateway.config.upstreams import ClientCredentialsAuth, DelegatedAuth, HeaderAuth
from agent_gateway.config.upstreams import Upstream as AnyConfig
from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.grants.source import Discovered, GrantSource
from agent_gateway.identity.broker import (
    Broker,
    ClientCredentials,
    Delegated,
    StaticHeader,
    UpstreamCredential,
    posting,
)
from agent_gateway.ports import Clock, McpUpstream
from agent_gateway.runtime import flow_upstreams
from agent_gateway.runtime.api_upstreams import ApiInputs, inputs_of, make_api
from agent_gateway.runtime.flow_upstreams import FlowInputs
from agent_gateway.runtime.grant_settings import discovered_of, web_of
from agent_gateway.upstreams.a2a_http import AgentSettings, HttpAgent
from agent_gateway.upstreams.build import build_agent, build_upstream
from agent_gateway.upstreams.settings import UpstreamLimits, UpstreamSettings, UpstreamTimeouts
from gateway_policies.principal import Principal

Credentials = Callable[[Principal], Awaitable[Sequence[tuple[bytes, bytes]]]]
Sign = Callable[[Principal, str], str]  # (for whom, audience) → token


AnySettings = UpstreamSettings | AgentSettings | ApiInputs | FlowInputs


@dataclass(frozen=True, slots=True)
class Kept:
    """One running upstream and everything it was made from."""

    settings: AnySettings
    credential: UpstreamCredential | Discovered
    upstream: McpUpstream | HttpAgent


def _unsigned(principal: Principal, audience: str) -> str:
    del principal, audience
    raise ValueError("no token of ours is at hand here")


def make_upstreams(
    loaded: Loaded, previous: Mapping[str, Kept], clock: Clock, sign: Sign = _unsigned
) -> dict[str, Kept]:
    """Return every enabled upstream; those whose settings and secrets are unchanged are the same objects.

    sign  makes the tokens of upstreams that are called with ours
    """
    found: dict[str, Kept] = {}
    for name, config in loaded.config.upstreams.items():
        if not config.enabled:
            continue
        settings, credential = settings_of(name, config, loaded), _credential(name, config, loaded, sign)
        kept = previous.get(name)
        if kept is not None and kept.settings == settings and kept.credential == credential:
            found[name] = kept
            continue
        renewal = None
        if isinstance(credential, Discovered):
            web = web_of(credential, allow_private=config.allow_private)
            renewal = GrantSource(credential, web, clock)
            credentials = _found(renewal)
        else:
            credentials = _credentials(name, settings, credential, clock)
        if isinstance(settings, AgentSettings):
            upstream = build_agent(settings, credentials=credentials, clock=clock)
        elif isinstance(settings, ApiInputs):
            upstream = make_api(name, settings, loaded, credentials, clock)
        elif isinstance(settings, FlowInputs):
            upstream = flow_upstreams.make_flows(name, settings, loaded)
        else:
            upstream = build_upstream(
                settings, credentials=credentials, clock=clock, environ=os.environ, renewal=renewal
            )
        found[name] = Kept(settings, credential, upstream)
    return found


def settings_of(name: str, config: AnyConfig, loaded: Loaded) -> AnySettings:
    """Return the settings of one upstream; secrets of a child's environment are in them."""
    if isinstance(config, A2aConfig):
        return _agent_settings(name, config, loaded)
    if isinstance(config, ApiConfig):
        return inputs_of(name, config, loaded)
    if isinstance(config, FlowConfig):
        return flow_upstreams.inputs_of(name, config, loaded)
    assert isinstance(config, McpConfig)
    return _mcp_settings(name, config, loaded)


def _agent_settings(name: str, config: A2aConfig, loaded: Loaded) -> AgentSettings:
    return AgentSettings(
        name,
        config.url,
        config.card or f"{config.url.rstrip('/')}{WELL_KNOWN}",
        timeouts=UpstreamTimeouts(connect_s=config.connect_timeout_s, idle_s=config.stream_timeout_s),
        limits=UpstreamLimits(
            max_result=config.result_bytes or loaded.config.limits.result_bytes,
            max_connections=config.max_connections,
            max_waiting=config.max_waiting,
        ),
        rules=EgressRules(allow_private=config.allow_private),
        longest_s=config.stream_timeout_s,
    )


def _mcp_settings(name: str, config: McpConfig, loaded: Loaded) -> UpstreamSettings:
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
        found = UpstreamSettings(
            name, "http", url=config.url, era=config.era, isolation=config.isolated_by, timeouts=timeouts,
            limits=limits, rules=rules, has_fixed_credentials=config.auth.kind in ("none", "header"),
        )  # fmt: skip
        if config.transport == "sse":  # each caller's stream is a connection, and its messages want another
            limits = replace(limits, max_children=max(1, limits.max_connections // 2))
            return replace(found, kind="sse", era="legacy", limits=limits)
        return found
    assert config.command is not None
    env = {key: loaded.reveal(value) if isinstance(value, Secret) else value for key, value in config.env.items()}
    return UpstreamSettings(
        name, "stdio", command=config.command[0], args=config.command[1:], env=env, inherit=("PATH", "HOME"),
        cwd=str(loaded.base_dir / config.cwd if config.cwd else loaded.base_dir), era=config.era,
        isolation=config.isolated_by, timeouts=timeouts, limits=limits,
    )  # fmt: skip


def credential_of(config: AnyConfig, loaded: Loaded, sign: Sign = _unsigned) -> UpstreamCredential:
    """Return what the gateway proves itself with at this upstream."""
    url = config.urls().get("url")
    if url is None:
        return UpstreamCredential("")
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    auth = config.auth
    if isinstance(auth, HeaderAuth):
        return UpstreamCredential(origin, StaticHeader(auth.name, auth.prefix + loaded.reveal(auth.value)))
    if isinstance(auth, ClientCredentialsAuth):
        source = ClientCredentials(
            auth.token_url, auth.client_id, loaded.reveal(auth.client_secret), auth.scope or "",
            auth.resource or url,
        )  # fmt: skip
        return UpstreamCredential(origin, source)
    if isinstance(auth, DelegatedAuth):
        return UpstreamCredential(origin, Delegated(auth.audience or url, sign))
    return UpstreamCredential(origin)


def _credential(name: str, config: AnyConfig, loaded: Loaded, sign: Sign) -> UpstreamCredential | Discovered:
    found = discovered_of(name, config, loaded) if isinstance(config, McpConfig) else None
    return found or credential_of(config, loaded, sign)


def _found(source: GrantSource) -> Credentials:
    async def headers(principal: Principal) -> Sequence[tuple[bytes, bytes]]:
        del principal  # what the gateway was granted serves whoever policy lets through
        return await source.headers()

    return headers


def _credentials(name: str, settings: AnySettings, credential: UpstreamCredential, clock: Clock) -> Credentials:
    broker = Broker({name: credential}, post_form=posting(ControlClient(settings.rules)), clock=clock)

    async def headers(principal: Principal) -> Sequence[tuple[bytes, bytes]]:
        return await broker.headers(principal, name, settings.url)

    return headers
