"""The documentation of the command line and the admin API is held to the code."""

import re
from pathlib import Path

import pytest

from agent_gateway import admin
from support.cli_reference import README, commands, with_reference

ADMIN = Path(admin.__file__).parent


def test_the_reference_is_what_the_commands_say() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == with_reference(text), "run `python tests/support/cli_reference.py`"


def test_every_command_is_in_the_reference() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in commands() if f"### `agent-gateway {name}" not in text] == []


@pytest.mark.parametrize("readme", [README, ADMIN / "README.md"], ids=lambda path: path.parent.name)
def test_every_module_is_in_the_map(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    modules = {path.name for path in readme.parent.glob("*.py")} - {"__init__.py"}
    assert sorted(name for name in modules if f"`{name}`" not in text) == []


def test_every_route_is_in_the_admin_readme() -> None:
    text = (ADMIN / "README.md").read_text(encoding="utf-8")
    routes = {
        path
        for file in ADMIN.glob("*_routes.py")
        for path in re.findall(r'@router\.\w+\(\s*"([^"]+)"', file.read_text())
    }
    assert sorted(route for route in routes if route not in text) == []
