"""A command imports what it needs and no other command; a misspelt one is still recognized."""

import subprocess
import sys

import pytest

from support.command_line import Run
from support.running import paths

PROGRAM = """
import sys
from agent_gateway.cli.main import main
try:
    main(["key", "--help"])
finally:
    sys.stderr.write(" ".join(sys.modules))
"""


def test_a_command_imports_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=paths(), check=True)
    imported = set(done.stderr.split())
    assert "agent_gateway.cli.key" in imported
    assert imported.isdisjoint({"agent_gateway.cli.up", "agent_gateway.cli.mesh", "agent_gateway.runtime.worker"})


def test_a_misspelt_command_is_told_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "doctr")
    assert run.code == 2
    assert "doctor" in run.err
