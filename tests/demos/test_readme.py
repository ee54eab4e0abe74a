"""The README is held to the code: its configuration loads, its commands run, its links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_gateway.config.load import load
from demos.stage import free_ports
from support.prefork import GATEWAY, command
from support.sources import ROOT, files

README = (ROOT / "README.md").read_text(encoding="utf-8")
READMES = list(files(suffix="README.md"))

START_S = 60.0
STOP_S = 30.0

# What `uvx` would fetch, as a small server on the SDK.
TIME_SERVER = """
from mcp.server import MCPServer
from mcp_types import ToolAnnotations
server = MCPServer("time")
@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def get_current_time(timezone: str) -> str:
    "Say what time it is in a time zone."
    return "noon in " + timezone
server.run()
"""


def block(kind: str, after: str) -> str:
    """Return the first fenced block of `kind` behind a marker."""
    match = re.search(rf"```{kind}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert match is not None
    return match[1]


def commands(after: str) -> list[list[str]]:
    """Return the commands of a console block; one that ends in `# refused` ends with exit code 1."""
    lines = block("console", after).splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines if line.startswith("$ ")]


def test_the_configuration_of_the_readme_loads_without_a_word(tmp_path: Path) -> None:
    for name, text in (
        ("gateway.yaml", block("yaml", "<!-- configuration -->")),
        ("policies/main.cedar", block("cedar", "<!-- configuration -->")),
        ("secrets/planner", "a secret of twenty characters"),
    ):
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
        place.chmod(0o600)
    assert load(tmp_path / "gateway.yaml", needs_secrets=True).findings == ()


def test_every_make_target_of_the_readme_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"make ([a-z]+)", README)) - {"and"}
    assert {"demo", "up", "test", "bench"} <= targets
    assert sorted(one for one in targets if f"\n{one}:" not in makefile) == []


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(readme: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", readme.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (readme.parent / link).exists()] == []


def test_every_folder_of_the_code_is_in_the_map() -> None:
    text = (ROOT / "agent_gateway" / "README.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "agent_gateway").glob("*/__init__.py")}
    assert sorted(name for name in folders if f"`{name}/`" not in text) == []


class Shell:
    """Runs `agent-gateway` as the README writes it, with a stand-in for `uvx` on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        place = folder / "bin"
        place.mkdir()
        (place / "server.py").write_text(TIME_SERVER)
        uvx = place / "uvx"
        uvx.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(place / 'server.py'))}\n")
        uvx.chmod(0o700)
        paths = os.pathsep.join(str(ROOT / part) for part in (".", "policies", "a2a"))
        self._env = {**os.environ, "PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths}
        self._program = [*command(GATEWAY)]

    def run(self, words: list[str]) -> str:
        """Run one command to its end and return its output; it must end as it says."""
        expected = 1 if words[-2:] == ["#", "refused"] else 0
        words = words[:-2] if expected else words
        if words[0] == "cd":
            self.folder /= words[1]
            return ""
        assert words[0] == "agent-gateway", words
        done = subprocess.run(
            [*self._program, *words[1:]],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        assert done.returncode == expected, (words, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def serving(self, words: list[str]) -> Generator[None]:
        """Run the command that serves until the block ends; it says when it is ready."""
        with subprocess.Popen(
            [*self._program, *words[1:]], cwd=self.folder, env=self._env, stderr=subprocess.PIPE, text=True
        ) as process:
            watchdog = threading.Timer(START_S, process.kill)
            watchdog.start()
            try:
                assert process.stderr is not None
                said = list[str]()
                for line in process.stderr:
                    said.append(line)
                    if line.startswith("agent gateway: http://"):
                        break
                else:
                    pytest.fail("it did not start: " + "".join(said))
                watchdog.cancel()
                yield
            finally:
                watchdog.cancel()
                process.terminate()
                process.communicate(timeout=STOP_S)


def test_the_first_gateway_of_the_readme_works_as_written(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    *before, up = commands("<!-- first gateway -->")
    for words in before:
        shell.run(words)
    data, admin = free_ports(2)
    config = shell.folder / "gateway.yaml"
    config.write_text(config.read_text().replace("port: 8080", f"port: {data}").replace("port: 8081", f"port: {admin}"))
    with shell.serving(up):
        said = {" ".join(words): shell.run(words) for words in commands("<!-- from another shell -->")}
    assert f"http://127.0.0.1:{data}/mcp" in output(said, "connect claude-code")
    assert "time__get_current_time" in output(said, "ls")
    assert "noon in Europe/Paris" in output(said, "--as first-agent")
    assert "no tool `time__get_current_time` here" in output(said, "--as operator")
    assert "may not call" in output(said, "explain operator")


def output(said: dict[str, str], part: str) -> str:
    """Return what the one command that holds `part` printed."""
    (found,) = [text for command, text in said.items() if part in command.removeprefix("agent-gateway ")]
    return found
