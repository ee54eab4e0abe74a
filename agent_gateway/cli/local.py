"""What lies at hand on this machine: the data directory, its keys, and tokens made with them.

Whoever can read the data directory is its operator: no password is asked for,
and nothing here works from elsewhere.
"""

import shutil
import time
from pathlib import Path

from agent_gateway.cli.session import Failure
from agent_gateway.config.load import Loaded
from agent_gateway.config.problems import did_you_mean
from agent_gateway.identity.agents import Agent, Agents
from agent_gateway.identity.keys import MAX_TOKEN_LIFE_S, SigningKeys
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.identity.operators import mint_local
from agent_gateway.identity.replay import MemoryReplay
from agent_gateway.identity.ring import RingBroken
from agent_gateway.identity.throttle import Throttle
from agent_gateway.identity.token_service import TokenGuards, TokenService, TokenSettings
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.identities import SCOPES, issuer_url, known_agent


def data_dir(loaded: Loaded) -> DataDir:
    """Return the data directory; raise `Failure` when no gateway has run with it."""
    data = DataDir(loaded.data_dir)
    if not data.audit.is_dir():
        raise Failure(f"there is no data directory at {data.root}", hint="`agent-gateway up` makes it")
    return data


def is_program(name: str, folder: Path) -> bool:
    """Say whether the first word of a server's command can be started here.

    folder  of the configuration: where a path that is not absolute begins
    """
    return shutil.which(str(folder / name) if "/" in name else name) is not None


def endpoints(loaded: Loaded) -> dict[str, str]:
    """Return every resource that tokens can be for: `mcp`, each toolset, `servers/{name}`, and `admin`."""
    config = loaded.config
    found = {"mcp": "/mcp"}
    found |= {name: f"/mcp/{name}" for name in config.toolsets if name != "default"}
    enabled = {name: one.kind for name, one in config.upstreams.items() if one.enabled}
    found |= {f"servers/{name}": f"/servers/{name}/mcp" for name, kind in enabled.items() if kind != "a2a"}
    resources = {name: f"{config.listeners.data.url}{path}" for name, path in found.items()}
    return {**resources, "admin": config.listeners.admin.token_audience}


def resource_named(loaded: Loaded, text: str) -> str:
    """Return the resource that `text` means: its URL, or its short name; raises `Failure`."""
    known = endpoints(loaded)
    if text in known.values():
        return text
    if text not in known:
        raise Failure(f"`{text}` is no endpoint of this gateway", hint=did_you_mean(text, list(known)), exit_code=2)
    return known[text]


def agent_named(loaded: Loaded, name: str) -> Agent:
    """Return a configured agent; raises `Failure`."""
    found = loaded.config.agents.get(name)
    if found is None:
        raise Failure(f"no agent is called `{name}`", hint=did_you_mean(name, list(loaded.config.agents)), exit_code=2)
    return known_agent(name, found)


def agent_token(loaded: Loaded, name: str, resource: str, life_s: int | None = None) -> str:
    """Return an access token of an agent, as the token service would give it; raises `Failure`."""
    agent = agent_named(loaded, name)
    settings = loaded.config.token_service
    if not settings.enabled:
        hint = "its issuers give out tokens; or set `token_service.enabled: true`"
        raise Failure("the token service is switched off", hint=hint)
    if not agent.is_active:
        raise Failure(f"agent `{name}` is suspended", hint="set its `state: active`")
    if life_s is not None and not 0 < life_s <= MAX_TOKEN_LIFE_S:
        raise Failure(f"a token lives from 1 to {MAX_TOKEN_LIFE_S} seconds", exit_code=2)
    service = TokenService(
        TokenSettings(issuer_url(loaded), settings.access_token_ttl_s),
        Agents([agent]),
        Endpoints(loaded.config.listeners.data.url, ("/mcp",), SCOPES),
        keys=_keys(DataDir(loaded.data_dir), is_operators=False),
        guards=TokenGuards(MemoryReplay(clock=time.time), Throttle(clock=time.time)),
        clock=time.time,
    )
    scopes = [one for one in SCOPES if agent.scopes is None or one in agent.scopes]
    return service.mint(agent, resource, scopes, life_s=life_s)


def operator_token(loaded: Loaded, life_s: int | None = None) -> str:
    """Return a token of the local operator for the admin listener; raises `Failure`."""
    keys = _keys(DataDir(loaded.data_dir), is_operators=True)
    audience = loaded.config.listeners.admin.token_audience
    return (
        mint_local(keys, audience, time.time()) if life_s is None else mint_local(keys, audience, time.time(), life_s)
    )


def _keys(data: DataDir, *, is_operators: bool) -> SigningKeys:
    try:
        data.make()
        return SigningKeys(data.operator_keys if is_operators else data.keys, clock=time.time)
    except (RingBroken, PermissionError) as error:
        hint = f"run this as the user that runs the gateway: only its owner may read {data.root}"
        raise Failure("the gateway's keys cannot be read", hint=hint) from error
