"""References: every name one part of the configuration uses must exist in another."""

from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from importlib.util import find_spec

from agent_gateway.config.governance import Budget, Rate
from agent_gateway.config.identities import Agent, ApiKey, Oidc
from agent_gateway.config.problems import Fault, Path, did_you_mean
from agent_gateway.config.root import Config
from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.config.upstream_arazzo import ArazzoUpstream
from agent_gateway.config.upstream_openapi import OpenApiUpstream
from agent_gateway.config.upstreams import DelegatedAuth, DiscoverAuth

NO_GRPC = "gRPC needs grpcio, which is not installed"
INSTALL_GRPC = "pip install agent-gateway-server[grpc]"


def check_references(config: Config) -> Iterator[Fault]:
    """Yield a fault for each name that leads nowhere and each name that is used twice."""
    yield from _issuers(config)
    yield from _toolsets(config)
    yield from _agents(config)
    yield from _api_keys(config)
    yield from _oidc_matches(config)
    yield from _admins(config)
    yield from _remote_agents(config)
    yield from _discovered(config)
    yield from _workflows(config)
    yield from _toolset_agents(config)
    if config.listeners.grpc is not None and find_spec("grpc") is None:
        yield Fault(("listeners", "grpc"), NO_GRPC, INSTALL_GRPC)
    yield from _limits("budgets", config.budgets, config)
    yield from _limits("rates", config.rates, config)


def _unknown(path: Path, kind: str, name: str, known: Collection[str]) -> Fault:
    hint = did_you_mean(name, sorted(known)) if known else f"there is no {kind} yet: add one"
    return Fault(path, f"no {kind} is called `{name}`", hint, about=name)


def _issuers(config: Config) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, issuer in config.issuers.items():
        here: Path = ("issuers", name)
        if issuer.tenant not in config.tenants:
            yield _unknown((*here, "tenant"), "tenant", issuer.tenant, config.tenants)
        if issuer.issuer in seen:
            yield Fault((*here, "issuer"), f"`{seen[issuer.issuer]}` is the same issuer", "an issuer has one entry")
        seen.setdefault(issuer.issuer, name)
        own = config.token_service.issuer or config.listeners.data.url
        if config.token_service.enabled and issuer.issuer.rstrip("/") == own:
            yield Fault((*here, "issuer"), "this is the gateway's own token service", "leave the entry out")


def _toolsets(config: Config) -> Iterator[Fault]:
    if config.listeners.data.http_sse and "sse" in config.toolsets:
        message = "`/mcp/sse` is the HTTP+SSE form of `/mcp`"
        yield Fault(("toolsets", "sse"), message, "rename the toolset, or leave `listeners.data.http_sse` off")


def _remote_agents(config: Config) -> Iterator[Fault]:
    told: dict[str, str] = {}
    for name, upstream in config.upstreams.items():
        here: Path = ("upstreams", name)
        if isinstance(upstream, A2aUpstream) and upstream.binding == "grpc" and find_spec("grpc") is None:
            yield Fault((*here, "binding"), NO_GRPC, INSTALL_GRPC)
        is_ours = isinstance(upstream.auth, DelegatedAuth)
        if is_ours and not config.token_service.enabled:
            message = "`delegated` needs the token service, which is off"
            yield Fault((*here, "auth", "kind"), message, "set `token_service.enabled: true`")
        if not isinstance(upstream, A2aUpstream) or upstream.acts_as is None:
            continue
        if upstream.acts_as not in config.agents:
            yield _unknown((*here, "acts_as"), "agent", upstream.acts_as, config.agents)
        audience = getattr(upstream.auth, "audience", None) or upstream.url
        if is_ours and told.setdefault(audience, upstream.acts_as) != upstream.acts_as:
            message = f"a token for this agent would be one for `{told[audience]}` too"
            yield Fault((*here, "auth", "audience"), message, "give each agent an audience of its own")


def _discovered(config: Config) -> Iterator[Fault]:
    for name, upstream in config.upstreams.items():
        if isinstance(upstream.auth, DiscoverAuth) and getattr(upstream, "transport", "") != "streamable-http":
            message = "`discover` is for MCP servers over streamable HTTP"
            yield Fault(("upstreams", name, "auth", "kind"), message, "use `client_credentials` or `header`")


def _workflows(config: Config) -> Iterator[Fault]:
    apis = {name for name, upstream in config.upstreams.items() if isinstance(upstream, OpenApiUpstream)}
    for name, upstream in config.upstreams.items():
        for source, api in upstream.sources.items() if isinstance(upstream, ArazzoUpstream) else ():
            if api not in apis:
                yield _unknown(("upstreams", name, "sources", source), "API", api, apis)


def _toolset_agents(config: Config) -> Iterator[Fault]:
    for name, toolset in config.toolsets.items():
        if toolset.agent is not None and isinstance(config.upstreams.get(name), A2aUpstream):
            message = f"the upstream `{name}` is served at `/a2a/{name}` already"
            yield Fault(("toolsets", name, "agent"), message, "give the toolset another name")


def _agents(config: Config) -> Iterator[Fault]:
    for name, agent in config.agents.items():
        here: Path = ("agents", name)
        tenant = config.tenants.get(agent.tenant)
        if tenant is None:
            yield _unknown((*here, "tenant"), "tenant", agent.tenant, config.tenants)
        for at, team in enumerate(agent.teams):
            if tenant is not None and team not in tenant.teams:
                yield _unknown((*here, "teams", at), f"team of `{agent.tenant}`", team, tenant.teams)
            if team in agent.teams[:at]:
                yield Fault((*here, "teams", at), f"`{team}` is here twice")
        yield from _credentials(config, here, agent)


def _credentials(config: Config, here: Path, agent: Agent) -> Iterator[Fault]:
    for at, credential in enumerate(agent.credentials):
        spot: Path = (*here, "credentials", at)
        if isinstance(credential, Oidc):
            issuer = config.issuers.get(credential.issuer)
            if issuer is None:
                yield _unknown((*spot, "issuer"), "issuer", credential.issuer, config.issuers)
            elif issuer.tenant != agent.tenant:
                message = f"issuer `{credential.issuer}` speaks for another tenant than this agent's"
                yield Fault((*spot, "issuer"), message, "an issuer's subjects belong to one tenant")
        elif not isinstance(credential, ApiKey) and not config.token_service.enabled:
            message = f"`{credential.kind}` needs the token service, which is off"
            yield Fault((*spot, "kind"), message, "set `token_service.enabled: true`")
    if not agent.credentials:
        hint = "`agent-gateway key new` makes one"
        yield Fault(here, "this agent has no credential, so it cannot call", hint, severity="warning")


def _api_keys(config: Config) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, agent in config.agents.items():
        for at, credential in enumerate(agent.credentials):
            if not isinstance(credential, ApiKey):
                continue
            for value, key in ((credential.id, "id"), (credential.sha256, "sha256")):
                if value in seen:
                    message = f"agent `{seen[value]}` has an API key with the same {key}"
                    yield Fault(("agents", name, "credentials", at, key), message, "a key belongs to one agent")
                seen.setdefault(value, name)


def _oidc_matches(config: Config) -> Iterator[Fault]:
    seen: list[tuple[str, str, dict[str, object]]] = []
    for name, agent in config.agents.items():
        for at, credential in enumerate(agent.credentials):
            if not isinstance(credential, Oidc):
                continue
            match: dict[str, object] = dict(credential.match)
            for other, issuer, theirs in seen:
                if issuer == credential.issuer and other != name and _overlap(match, theirs):
                    message = f"a token could match both this agent and `{other}`"
                    hint = "give both a value for the same claim, and let the values differ"
                    yield Fault(("agents", name, "credentials", at, "match"), message, hint)
            seen.append((name, credential.issuer, match))


def _overlap(one: dict[str, object], other: dict[str, object]) -> bool:
    return all(_same(other.get(claim, value), value) for claim, value in one.items())


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other  # `true` is not 1 in a token


def _admins(config: Config) -> Iterator[Fault]:
    for at, rule in enumerate(config.admins):
        if rule.agent is not None and rule.agent not in config.agents:
            yield _unknown(("admins", at, "agent"), "agent", rule.agent, config.agents)
        if rule.issuer is not None and rule.issuer not in config.issuers:
            yield _unknown(("admins", at, "issuer"), "issuer", rule.issuer, config.issuers)


def _limits(section: str, entries: Sequence[Budget | Rate], config: Config) -> Iterator[Fault]:
    seen: set[str] = set()
    for at, entry in enumerate(entries):
        if entry.name in seen:
            yield Fault((section, at, "name"), f"`{entry.name}` is here twice", "names are unique")
        seen.add(entry.name)
        known = _subjects(entry.scope, config)
        if known is None or any(fnmatchcase(subject, entry.match) for subject in known):
            continue
        here: Path = (section, at, "match")
        if "*" in entry.match:
            yield Fault(here, f"`{entry.match}` matches no {entry.scope}", severity="warning")
        else:
            yield _unknown(here, entry.scope, entry.match, known)


def _subjects(scope: str, config: Config) -> set[str] | None:
    """What `match` is compared with, or None where only the running gateway knows."""
    if scope == "tenant":
        return set(config.tenants)
    if scope == "team":
        return {f"{tenant}/{team}" for tenant, entry in config.tenants.items() for team in entry.teams}
    if scope == "agent" and all(issuer.unbound == "refuse" for issuer in config.issuers.values()):
        return {f"{agent.tenant}/{name}" for name, agent in config.agents.items()}
    return None
