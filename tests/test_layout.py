"""Layout: the folders, the names and the words that the project keeps."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent_gateway import VERSION
from support.sources import MADE, PACKAGES, ROOT, files, shown

TOP_LEVEL = frozenset(
    {
        ".ci",
        ".gitignore",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "a2a",
        "agent_gateway",
        "context_mesh",
        "demos",
        "mcp_registry",
        "policies",
        "pyproject.toml",
        "tests",
    }
)

VAGUE_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "manager", "misc"})

# The three places where `except Exception` is right; the supervisor of background tasks may be the third.
WALLS = frozenset(
    {
        "agent_gateway/audit/writer.py",  # the record writer: every waiter must hear of it
        "agent_gateway/runtime/chores.py",  # the supervisor: one chore fails, the others and every call go on
        "agent_gateway/listeners/mcp.py",  # the listener's edge: one request fails, not the listener
        "agent_gateway/listeners/fast_call.py",  # the same edge, on the short way
        "agent_gateway/listeners/agent.py",  # the same edge, where agents are served
    }
)

# Spelled in parts so that this file does not hold what it looks for.
MACHINES = ("ro" + "ot", "wo" + "rk", "home/[a-z]+", "Users/[a-z]+", "tmp/v" + "3")
UNFINISHED = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
BANNED = {
    "a package registry": re.compile("py" + r"pi\.org|python" + r"hosted\.org|registry" + r"\.npmjs"),
    "a path of one machine": re.compile(r"(?<![\w.~$}/-])/(?:" + "|".join(MACHINES) + r")(?=/|\b)"),
    "unfinished work": re.compile(r"\b(?:" + "|".join(UNFINISHED) + r")\b"),
}

OF_OTHERS = "tests/specs/"  # descriptions that others wrote, byte for byte

TEXTS = (".cedar", ".cedarschema", ".json", ".md", ".py", ".sh", ".toml", ".yaml", ".yml")


@pytest.mark.requirement("house.layout")
def test_the_top_level_holds_only_what_the_design_names() -> None:
    found = {path.name for path in ROOT.iterdir()} - MADE
    assert sorted(name for name in found - TOP_LEVEL if not name.startswith(".coverage")) == []


@pytest.mark.requirement("house.layout")
def test_imports_point_down() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    paths = [str(ROOT / folder) for folder in (".", "policies", "a2a")]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120, env={"PYTHONPATH": ":".join(paths)}
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.requirement("house.a2a-sdk-coexists")
def test_our_a2a_folder_does_not_hide_the_sdk() -> None:
    assert not (ROOT / "a2a" / "__init__.py").exists()
    assert not (ROOT / "policies" / "__init__.py").exists()
    sdk = importlib.util.find_spec("a2a")
    assert sdk is not None
    assert sdk.origin is not None, "`import a2a` finds a folder without an `__init__.py`: ours"
    assert not Path(sdk.origin).is_relative_to(ROOT / "a2a")


def test_tests_are_under_tests() -> None:
    strays = [
        shown(path)
        for path in files(suffix=".py")
        if re.fullmatch(r"test_.*|.*_test|conftest", path.stem) and "tests" not in path.relative_to(ROOT).parts[:1]
    ]
    assert strays == []


def test_a_module_is_named_after_what_it_does() -> None:
    vague = [shown(path) for path in files(*PACKAGES, "tests", "demos", suffix=".py") if path.stem in VAGUE_NAMES]
    assert vague == []


@pytest.mark.parametrize("what", sorted(BANNED))
def test_no_file_names(what: str) -> None:
    found = [
        f"{shown(path)}: {match[0]}"
        for path in files()
        if not shown(path).startswith(OF_OTHERS)
        if path.suffix in TEXTS or path.parent.name == ".ci" or path.name == "Makefile"
        for match in [BANNED[what].search(path.read_text(encoding="utf-8"))]
        if match
    ]
    assert found == []


def test_every_error_is_caught_by_name_except_at_the_walls() -> None:
    broad = [
        f"{shown(path)}:{node.lineno}"
        for path in files(*PACKAGES, suffix=".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and shown(path) not in WALLS
    ]
    assert broad == []


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Say whether a handler takes any error and raises it neither again nor as the cause of another."""
    names = (
        {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {"Exception"}
    )
    raises_again = any(
        isinstance(node, ast.Raise)
        and (node.exc is None or (isinstance(node.cause, ast.Name) and node.cause.id == handler.name))
        for node in ast.walk(handler)
    )
    return not names.isdisjoint({"Exception", "BaseException"}) and not raises_again


# Where connections to others begin; each of these dials what `egress.resolve` gave it. The exporter of spans is a
# library's own, and goes where the operator's file says.
DIALLERS = frozenset(
    {
        "agent_gateway/egress/control_client.py",
        "agent_gateway/upstreams/grpc_link.py",
        "agent_gateway/upstreams/http_pool.py",
    }
)
DIALLING = frozenset(
    {
        "AsyncClient", "AsyncHTTPTransport", "HTTPConnection", "HTTPSConnection", "create_connection",
        "insecure_channel", "open_connection", "secure_channel", "sock_connect", "urlopen",
    }
)  # fmt: skip
OPERATORS_OWN = "agent_gateway/cli/"  # a person's command speaks to that person's gateway


@pytest.mark.requirement("invariant.egress-only")
def test_connections_begin_only_where_egress_has_checked_the_address() -> None:
    found = {
        shown(path)
        for path in files(*PACKAGES, suffix=".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Attribute) and node.func.attr in DIALLING)
            or (isinstance(node.func, ast.Name) and node.func.id in DIALLING)
        )
        and not shown(path).startswith(OPERATORS_OWN)
    }
    assert found == DIALLERS
    for path in DIALLERS:
        assert "await resolve(" in (ROOT / path).read_text(encoding="utf-8"), path


def test_no_test_sleeps_or_replaces_attributes() -> None:
    forbidden = {
        ("time", "sleep"),
        ("asyncio", "sleep"),
        ("anyio", "sleep"),
        ("monkeypatch", "setattr"),
        ("unittest", "mock"),
    }
    found = [
        f"{shown(path)}:{node.lineno}: {node.value.id}.{node.attr}"
        for path in files("tests", suffix=".py")
        if path.name.startswith("test_")  # the programs that tests start may take their time
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in forbidden
    ]
    assert found == []


def test_the_package_and_the_distribution_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION
