"""`agent-gateway pins`: definitions that are withheld, what changed in them, and your word on it."""

from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.console import Console

from agent_gateway.admin.models import PinJudged, PinShown
from agent_gateway.cli.asking import Running, source_of
from agent_gateway.cli.session import Failure, JsonOption, emit, session_of

app = typer.Typer(help="See and judge definitions that changed, or wait to be approved.", no_args_is_help=True)
_PINS = TypeAdapter(list[PinShown])

UpstreamArgument = Annotated[str, typer.Argument(help="The upstream.")]
NameArgument = Annotated[
    str, typer.Argument(help="Its own word for the tool, prompt or resource; the host of an agent's card.")
]
WhatOption = Annotated[
    str, typer.Option("--what", help="tools, prompts, resources, resource_templates, card, operations.")
]
PinOption = Annotated[str, typer.Option("--pin", help="The digest you looked at. Default: the one that waits now.")]


@app.command("ls")
def ls(context: typer.Context, as_json: JsonOption = False) -> None:
    """List what is withheld.

    Example: `agent-gateway pins ls`
    """
    found = _running(context).ask("GET", "/v1/pins", _PINS)
    emit({"pins": [one.model_dump() for one in found]}, as_json=as_json, text=lambda console: _write(console, found))


@app.command("diff")
def diff(
    context: typer.Context, upstream: UpstreamArgument, name: NameArgument, what: WhatOption = "tools",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Show how a withheld definition differs from the approved one.

    Example: `agent-gateway pins diff time convert_time`
    """
    one = _found(_running(context), upstream, name, what)

    def write(console: Console) -> None:
        console.print(_line(one), style="bold")
        for change in one.changes:
            console.print(f"  {change}", markup=False)

    emit(one.model_dump(), as_json=as_json, text=write)


@app.command("approve")
def approve(
    context: typer.Context, upstream: UpstreamArgument, name: NameArgument, what: WhatOption = "tools",
    pin: PinOption = "", as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Approve a withheld definition: it is shown, and may be used, from now on.

    Example: `agent-gateway pins approve time convert_time`
    """
    _judge(context, (upstream, name, what, pin), "approved", as_json=as_json)


@app.command("reject")
def reject(
    context: typer.Context, upstream: UpstreamArgument, name: NameArgument, what: WhatOption = "tools",
    pin: PinOption = "", as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Reject a withheld definition: it stays withheld, and is said to be.

    Example: `agent-gateway pins reject time convert_time`
    """
    _judge(context, (upstream, name, what, pin), "rejected", as_json=as_json)


def _judge(context: typer.Context, which: tuple[str, str, str, str], verdict: str, *, as_json: bool) -> None:
    upstream, name, what, pin = which
    running = _running(context)
    one = _found(running, upstream, name, what)
    said = PinJudged.model_validate(
        {"upstream": upstream, "what": what, "name": name, "pin": pin or one.pin, "verdict": verdict}
    )
    left = running.ask("POST", "/v1/pins", _PINS, said.model_dump_json().encode())
    data: dict[str, object] = {"verdict": verdict, "pin": said.pin, "left": [one.model_dump() for one in left]}
    emit(data, as_json=as_json, text=lambda console: console.print(f"{verdict}: {_line(one)}"))


def _found(running: Running, upstream: str, name: str, what: str) -> PinShown:
    for one in running.ask("GET", "/v1/pins", _PINS):
        if (one.upstream, one.name, one.what) == (upstream, name, what):
            return one
    raise Failure(f"nothing of `{upstream}` named `{name}` is withheld", hint="`agent-gateway pins ls` lists what is")


def _running(context: typer.Context) -> Running:
    source = source_of(session_of(context).load(needs_secrets=True))
    if not isinstance(source, Running):
        raise Failure(
            "no gateway is running", hint="start it with `agent-gateway up`: it knows what its upstreams show"
        )
    return source


def _line(one: PinShown) -> str:
    how = "changed" if one.approved_pin else "new"
    return f"{one.upstream} {one.what} {one.name}: {how}, {one.state}, {one.pin}"


def _write(console: Console, found: list[PinShown]) -> None:
    for one in found:
        console.print(_line(one), markup=False)
    if not found:
        console.print("nothing is withheld")
