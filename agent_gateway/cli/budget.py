"""`agent-gateway budget`: how every budget stands, read from the ledger itself, gateway or none."""

import time
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Console

from agent_gateway.admin.models import BudgetShown
from agent_gateway.admin.views import budgets_shown
from agent_gateway.cli.session import JsonOption, emit, session_of
from agent_gateway.runtime.books import DataDir
from agent_gateway.stores.sqlite_ledger import read_usage


def budget(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Only this budget.")] = "",
    history: Annotated[bool, typer.Option("--all", help="Windows that are over, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every budget: limit, spent, held, left, and when it starts afresh.

    Example: `agent-gateway budget --all`
    """
    loaded = session_of(context).load()
    usages = read_usage(DataDir(loaded.data_dir).ledger)
    rows = budgets_shown(loaded.config.budgets, usages, time.time())
    rows = [row for row in rows if (history or row.is_current) and name in ("", row.budget)]
    data: dict[str, object] = {"budgets": [row.model_dump() for row in rows]}
    emit(data, as_json=as_json, text=lambda console: _write(console, rows))


def _write(console: Console, rows: list[BudgetShown]) -> None:
    if not rows:
        console.print("no budgets")
        return
    lines = [_TITLES, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_TITLES))]
    for line, row in zip(lines, [None, *rows], strict=True):
        cells = [
            text.rjust(width) if column in _NUMBERS else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        style = "bold" if row is None else "red" if row.left == 0 else ""
        console.print("  ".join(cells).rstrip(), style=style)


_TITLES: Final = ("budget", "subject", "window", "limit", "spent", "held", "left", "unit", "resets")
_NUMBERS: Final = range(3, 7)


def _cells(row: BudgetShown) -> tuple[str, ...]:
    numbers = (str(row.limit), str(row.spent), str(row.held), str(row.left))
    return (row.budget, row.subject or "(unused)", row.window, *numbers, row.unit, _when(row.resets_at))


def _when(at: int | None) -> str:
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
