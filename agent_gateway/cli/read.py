"""`agent-gateway read URI` and `prompt NAME`: through the running gateway, as an agent would get them."""

import asyncio
import json
import sys
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from agent_gateway.cli.call import Answer, endpoint_of
from agent_gateway.cli.session import Failure, JsonOption, emit, session_of

AgentOption = Annotated[str, typer.Option("--as", help="The agent that asks.")]
ToolsetOption = Annotated[str, typer.Option(help="Ask through this toolset, or servers/NAME.")]
Members = Mapping[str, Any]


def read(
    context: typer.Context,
    uri: Annotated[str, typer.Argument(help="The URI of the resource, as `ls` shows it.")],
    agent: AgentOption,
    toolset: ToolsetOption = "mcp",
    raw: Annotated[bool, typer.Option("--raw", help="Write its one content as it is, bytes too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read a resource as an agent: policy, budgets and audit apply. Exit code 1 when it is refused or fails.

    Example: `agent-gateway read docs://handbook --as first-agent`
    """
    endpoint = endpoint_of(session_of(context).load(), toolset, agent)
    answer = asyncio.run(endpoint.use("resources/read", {"uri": uri}, uri))
    if raw and answer.result is not None:
        _write_raw(answer.result)
        return
    _finish(answer, _write_contents, as_json=as_json)


def prompt(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The prompt, `upstream__prompt`.")],
    agent: AgentOption,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Its arguments, `name=value` each; all are text.")
    ] = None,
    toolset: ToolsetOption = "mcp",
    as_json: JsonOption = False,
) -> None:
    """Get a prompt as an agent: policy, budgets and audit apply. Exit code 1 when it is refused or fails.

    Example: `agent-gateway prompt docs__review --as first-agent tone=kind`
    """
    endpoint = endpoint_of(session_of(context).load(), toolset, agent)
    params = {"name": name, "arguments": _texts(arguments or [])}
    _finish(asyncio.run(endpoint.use("prompts/get", params, name)), _write_messages, as_json=as_json)


def _texts(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Failure(f"`{pair}` is not `name=value`", exit_code=2)
        if name in found:
            raise Failure(f"the argument `{name}` is given twice", exit_code=2)
        found[name] = value
    return found


def _finish(answer: Answer, write: Callable[[Console, Members], None], *, as_json: bool) -> None:
    def tell(console: Console) -> None:
        if answer.result is None:
            answer.write(console)
        else:
            write(console, answer.result)

    emit(answer.data, as_json=as_json, text=tell)
    if not answer.is_ok:
        raise typer.Exit(1)


def _write_contents(console: Console, result: Members) -> None:
    for content in _listed(result, "contents"):
        if "text" in content:
            console.print(str(content["text"]))
        else:
            console.print(f"({content.get('mimeType', 'binary')}: write it to a file with --raw)")


def _write_messages(console: Console, result: Members) -> None:
    for message in _listed(result, "messages"):
        block = cast("Members", message.get("content") or {})
        said = block["text"] if block.get("type") == "text" else json.dumps(block, ensure_ascii=False)
        console.print(f"{message.get('role')}: {said}")


def _write_raw(result: Members) -> None:
    contents = _listed(result, "contents")
    if len(contents) != 1:
        raise Failure(f"the resource has {len(contents)} contents, and --raw writes one", hint="leave --raw out")
    content = contents[0]
    try:
        data = (
            str(content["text"]).encode() if "text" in content else b64decode(str(content.get("blob")), validate=True)
        )
    except NoBase64:
        raise Failure("the resource is no text and no base64 either") from None
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _listed(result: Members, name: str) -> list[Members]:
    found: object = result.get(name)
    return cast("list[Members]", found) if isinstance(found, list) else []
