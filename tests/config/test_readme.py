"""The documentation is held to the code."""

import re
from pathlib import Path

from agent_gateway.config.load import dump
from agent_gateway.config.root import Config
from support.config_files import load_text

README = Path(__file__).parents[2] / "agent_gateway" / "config" / "README.md"


def example() -> str:
    match = re.search(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return match[1]


def test_the_example_of_the_readme_loads_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.cedar").write_text("permit (principal, action, resource);")
    assert load_text(tmp_path, example(), WIKI_TOKEN="a token", PETS_KEY="a key").findings == ()


def test_the_example_of_the_readme_shows_every_section(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.cedar").write_text("permit (principal, action, resource);")
    loaded = load_text(tmp_path, example(), WIKI_TOKEN="a token", PETS_KEY="a key")
    assert loaded.config.model_fields_set == set(Config.model_fields)
    assert set(dump(loaded.config)) == set(Config.model_fields)


def test_every_module_is_in_the_map() -> None:
    text = README.read_text(encoding="utf-8")
    modules = {path.name for path in README.parent.glob("*.py")} - {"__init__.py"}
    assert sorted(name for name in modules if f"`{name}`" not in text) == []
