"""Sizes: what keeps a file readable in one go. An exception says why."""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from support.sources import PACKAGES, files, shown

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_PARAMETERS = 6

# `file` or `file::function`: why it may be larger.
EXCEPTIONS: dict[str, str] = {
    "agent_gateway/cli/add.py::add": "typer makes each option of a command a parameter",
    "agent_gateway/cli/audit.py::tail": "typer makes each option of a command a parameter",
    "agent_gateway/cli/call.py::call": "typer makes each option of a command a parameter",
    "agent_gateway/cli/connect.py::connect": "typer makes each option of a command a parameter",
    "agent_gateway/cli/mesh.py::approve_": "typer makes each option of a command a parameter",
    "agent_gateway/cli/explain.py::explain": "typer makes each option of a command a parameter",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def functions(path: Path) -> Sequence[tuple[str, Function]]:
    """Return every function of a file, methods and inner ones too, under `file::name`."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [
        (f"{shown(path)}::{node.name}", node)
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def lines_of(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameters_of(node: Function) -> int:
    spec = node.args
    names = [argument.arg for argument in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def beyond(found: dict[str, int], limit: int) -> dict[str, int]:
    return {name: size for name, size in found.items() if size > limit and name not in EXCEPTIONS}


def test_a_file_is_read_in_one_go() -> None:
    found = {
        shown(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(*PACKAGES, "tests", "demos", suffix=".py")
    }
    assert beyond(found, MAX_FILE_LINES) == {}


def test_a_function_fits_a_screen() -> None:
    found = {name: lines_of(node) for path in files(*PACKAGES, suffix=".py") for name, node in functions(path)}
    assert beyond(found, MAX_FUNCTION_LINES) == {}


def test_a_function_takes_few_parameters() -> None:
    found = {name: parameters_of(node) for path in files(*PACKAGES, suffix=".py") for name, node in functions(path)}
    assert beyond(found, MAX_PARAMETERS) == {}


def test_an_exception_is_still_needed() -> None:
    needed = {name for path in files(*PACKAGES, "tests", "demos", suffix=".py") for name in too_large(path)}
    assert sorted(set(EXCEPTIONS) - needed) == []


def too_large(path: Path) -> Iterator[str]:
    """Yield what in `path` is beyond a limit."""
    if len(path.read_text(encoding="utf-8").splitlines()) > MAX_FILE_LINES:
        yield shown(path)
    for name, node in functions(path):
        if lines_of(node) > MAX_FUNCTION_LINES or parameters_of(node) > MAX_PARAMETERS:
            yield name
