"""`agent-gateway token`: an access token for an agent, or for the operator, without asking anybody."""

from typing import Annotated

import typer

from agent_gateway.cli.local import agent_token, operator_token, resource_named
from agent_gateway.cli.session import Failure, JsonOption, emit, session_of
from agent_gateway.identity.operators import LOCAL_LIFE_S, MAX_LOCAL_LIFE_S


def token(
    context: typer.Context,
    agent: Annotated[str, typer.Argument(help="The agent. Leave it out with --operator.")] = "",
    resource: Annotated[
        str, typer.Option(help="Whom the token is for: a URL, or mcp, a toolset, servers/NAME, admin.")
    ] = "mcp",
    ttl: Annotated[int | None, typer.Option(min=1, help="Seconds it lives. Default: the configured ones.")] = None,
    operator: Annotated[bool, typer.Option("--operator", help="A short token for the admin API.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print an access token, signed with the keys of the data directory. Keep it out of logs.

    Example: `agent-gateway token first-agent --resource mcp`
    """
    loaded = session_of(context).load()
    if operator == bool(agent):
        raise Failure("name an agent, or --operator", exit_code=2)
    if operator and ttl is not None and ttl > MAX_LOCAL_LIFE_S:
        raise Failure(f"an operator's token lives at most {MAX_LOCAL_LIFE_S} seconds", exit_code=2)
    target = loaded.config.listeners.admin.token_audience if operator else resource_named(loaded, resource)
    text = operator_token(loaded, ttl) if operator else agent_token(loaded, agent, target, ttl)
    life_s = ttl or (LOCAL_LIFE_S if operator else loaded.config.token_service.access_token_ttl_s)
    data: dict[str, object] = {"access_token": text, "token_type": "Bearer", "expires_in": life_s, "resource": target}
    emit(data, as_json=as_json, text=lambda console: console.print(text))
