"""The stage: a folder with configuration, secrets, a repository and workbooks, made from the templates here.

Nothing is started in this module; `processes` does that.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demos import environments

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
TEMPLATE = HERE / "gateway.yaml"
POLICIES = HERE / "policies"
ENVIRONMENTS = ("mcp-time", "mcp-git", "mcp-excel")
SECRETS = ("planner", "releaser", "excel")
GIT_TIMEOUT_S = 60.0

_MARK = re.compile(r"@([A-Z_]+)@")


class CannotStage(Exception):
    """The stage cannot be set; the message says why, in words for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens, on loopback."""

    data: int
    admin: int
    excel: int
    tap: int  # what the gateway takes for the Excel server; the same as `excel` when nobody counts


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is."""

    folder: Path
    ports: Ports

    @property
    def config(self) -> Path:
        return self.folder / "gateway.yaml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def workbooks(self) -> Path:
        return self.folder / "workbooks"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.data}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.admin}"

    def secret(self, name: str) -> str:
        """Return a secret that the configuration refers to."""
        return (self.folder / "secrets" / name).read_text(encoding="utf-8").strip()


def set_stage(stage: Stage) -> None:
    """Write what the gateway needs into the folder; what secrets, repository and books are there stay.

    Raises `CannotStage`, and `EnvironmentFailed` when a server's environment is not made.
    """
    for folder in (stage.folder, stage.folder / "secrets", stage.workbooks):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in SECRETS:
        place = stage.folder / "secrets" / name
        if not place.exists():
            place.touch(mode=0o600)
            place.write_text(secrets.token_urlsafe(32) + "\n", encoding="utf-8")
    shutil.copytree(POLICIES, stage.folder / "policies", dirs_exist_ok=True)
    if not (stage.repository / ".git").exists():
        clone(PROJECT, stage.repository)
    time = environments.command("mcp-time", "mcp-server-time")
    git = environments.command("mcp-git", "mcp-server-git")
    stage.config.write_text(config_text(stage, time, git), encoding="utf-8")


def config_text(stage: Stage, time: list[str], git: list[str]) -> str:
    """Return the gateway's configuration; `time` and `git` begin the servers' command lines."""
    values = {
        "DATA_PORT": str(stage.ports.data),
        "ADMIN_PORT": str(stage.ports.admin),
        "TIME_COMMAND": json.dumps([*time, "--local-timezone", "UTC"]),
        "LIBRARY_COMMAND": json.dumps([sys.executable, str(HERE / "library.py")]),
        "GIT_COMMAND": json.dumps([*git, "--repository", str(stage.repository)]),
        "EXCEL_URL": f"http://127.0.0.1:{stage.ports.tap}/mcp",
    }
    return fill(TEMPLATE.read_text(encoding="utf-8"), values)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the template with every `@MARK@` replaced; raises `KeyError` for a mark without a value."""
    return _MARK.sub(lambda mark: values[mark[1]], template)


def clone(source: Path, target: Path) -> None:
    """Make a private copy of a git repository, so that a branch made on stage is made nowhere else.

    A source that is no repository (an unpacked archive) gives a new one with a single commit.
    """
    if shutil.which("git") is None:
        raise CannotStage("the demonstration shows a git repository to its agents, and there is no `git` on PATH")
    if (source / ".git").exists() and _git(["clone", "--quiet", "--no-hardlinks", str(source), str(target)]) == "":
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copyfile(TEMPLATE, target / TEMPLATE.name)
    who = ["-c", "user.name=demo", "-c", "user.email=demo@example.com", "-c", "commit.gpgsign=false"]
    at = ["-C", str(target)]
    commit = [*who, *at, "commit", "--quiet", "--message", "Begin"]
    for words in (["init", "--quiet", str(target)], [*at, "add", "."], commit):
        complaint = _git(words)
        if complaint:
            raise CannotStage(f"git could not make a repository: {complaint}")


def _git(words: list[str]) -> str:
    """Run git; return what it complained of, empty when it succeeded."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no end within {GIT_TIMEOUT_S:.0f} s"
    return "" if done.returncode == 0 else (done.stderr.strip() or f"exit code {done.returncode}")


def free_ports(count: int) -> list[int]:
    """Return different ports of loopback that nobody listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def is_free(port: int) -> bool:
    """Say whether a port of loopback can be listened on."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def shown(path: Path) -> str:
    """Return a path as one would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
