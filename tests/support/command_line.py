"""The command line, run in this process."""

import json
from pathlib import Path

import pytest

from agent_gateway.cli.main import main


class Run:
    """One run of the command line, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> None:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        self.code = caught.value.code or 0
        captured = capsys.readouterr()
        self.out = captured.out
        self.err = captured.err

    @property
    def data(self) -> dict[str, object]:
        return json.loads(self.out)
