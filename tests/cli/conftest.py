"""Commands run in a directory of their own."""

from pathlib import Path

import pytest

from support.config_files import ENVIRON


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test in a directory of its own, which is also the home directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CODEX_HOME", raising=False)
    monkeypatch.delenv("AGENT_GATEWAY_CONFIG", raising=False)
    monkeypatch.setenv("PLANNER_SECRET", ENVIRON["PLANNER_SECRET"])
    return tmp_path
