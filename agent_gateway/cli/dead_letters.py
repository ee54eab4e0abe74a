"""`agent-gateway dead-letters`: what no webhook took, read from the store itself, gateway or none."""

from contextlib import closing
from datetime import UTC, datetime

import typer
from rich.console import Console

from agent_gateway.admin.models import DeadLetterShown
from agent_gateway.admin.push_routes import letter_shown
from agent_gateway.cli.session import JsonOption, emit, session_of
from agent_gateway.runtime.books import DataDir
from agent_gateway.stores.sqlite_push import SqlitePush


def dead_letters(context: typer.Context, as_json: JsonOption = False) -> None:
    """List updates of agents' tasks that no webhook took: whose, since when, and what the last try ended with.

    Example: `agent-gateway dead-letters --json`
    """
    path = DataDir(session_of(context).load().data_dir).push
    found: list[DeadLetterShown] = []
    if path.exists():
        with closing(SqlitePush(path)) as store:
            found = [letter_shown(one) for one in store.dead()]
    data: dict[str, object] = {"dead_letters": [one.model_dump() for one in found]}
    emit(data, as_json=as_json, text=lambda console: _write(console, found))


def _write(console: Console, found: list[DeadLetterShown]) -> None:
    if not found:
        console.print("no dead letters")
    for one in found:
        at = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        whose = f"{one.tenant or '-'}  {one.agent or '-'}  task {one.task or '-'}"
        console.print(f"{at}  {whose}  {one.why}  {one.size_bytes} bytes", markup=False)
