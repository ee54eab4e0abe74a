"""`agent-gateway login`: a person grants the gateway access to an upstream, in a browser; `logout` drops that."""

import asyncio
import time
import webbrowser
from typing import Annotated

import typer

from agent_gateway.cli.session import Failure, JsonOption, emit, session_of, stderr
from agent_gateway.config.load import Loaded
from agent_gateway.config.problems import did_you_mean
from agent_gateway.config.upstream_mcp import McpUpstream
from agent_gateway.grants.login import Browse
from agent_gateway.grants.login import login as log_in
from agent_gateway.grants.source import Discovered
from agent_gateway.grants.store import Grant, GrantStore
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.grant_settings import discovered_of, web_of

UpstreamArgument = Annotated[str, typer.Argument(help="The upstream, whose `auth` is of `kind: discover`.")]


def login(
    context: typer.Context,
    upstream: UpstreamArgument,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser here, or only print the URL.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Have a person grant the gateway access to an upstream; the running gateway takes it up by itself.

    Example: `agent-gateway login tracker --no-browser`
    """
    loaded = session_of(context).load(needs_secrets=True)
    settings, config = _discovered(loaded, upstream)
    if settings.kind != "authorization_code":
        hint = "`grant: authorization_code` is what a person gives"
        raise Failure(f"`{upstream}` gets its tokens by itself", hint=hint)

    async def browse(url: str) -> None:
        stderr().print(f"Grant access here:\n{url}")
        if browser:
            await asyncio.to_thread(webbrowser.open, url)

    grant = asyncio.run(_log_in(settings, config.allow_private, browse, DataDir(loaded.data_dir)))
    data: dict[str, object] = {"upstream": upstream, **shown(grant)}
    emit(data, as_json=as_json, text=lambda console: console.print(f"`{upstream}` is granted by {grant.issuer}"))


def logout(context: typer.Context, upstream: UpstreamArgument, as_json: JsonOption = False) -> None:
    """Drop what a person granted the gateway at an upstream; the authorization server is not told.

    Example: `agent-gateway logout tracker`
    """
    loaded = session_of(context).load()
    settings, _ = _discovered(loaded, upstream)
    was_there = GrantStore(settings.folder).forget(upstream)
    text = f"the grant of `{upstream}` is dropped" if was_there else f"there was no grant of `{upstream}`"
    emit({"upstream": upstream, "dropped": was_there}, as_json=as_json, text=lambda console: console.print(text))


def shown(grant: Grant) -> dict[str, object]:
    """Return what may be told of a grant: no token, no secret."""
    return {
        "issuer": grant.issuer,
        "resource": grant.resource,
        "client_id": grant.client.id,
        "scope": list(grant.tokens.scope),
        "expires_at": grant.tokens.expires_at,
        "is_refreshable": bool(grant.tokens.refresh),
    }


def _discovered(loaded: Loaded, name: str) -> tuple[Discovered, McpUpstream]:
    config = loaded.config.upstreams.get(name)
    if config is None:
        known = list(loaded.config.upstreams)
        raise Failure(f"no upstream is called `{name}`", hint=did_you_mean(name, known), exit_code=2)
    found = discovered_of(name, config, loaded) if isinstance(config, McpUpstream) else None
    if found is None or not isinstance(config, McpUpstream):
        raise Failure(f"`{name}` announces no authorization", hint="set its `auth: {kind: discover, ...}`", exit_code=2)
    return found, config


async def _log_in(settings: Discovered, allow_private: bool, browse: Browse, data: DataDir) -> Grant:
    data.make()
    return await log_in(settings, web_of(settings, allow_private=allow_private), time.time, browse)
