"""`pins` and `registry`: what the command line says and does, on a running gateway."""

import json
from pathlib import Path

import pytest

from support.command_line import Run
from support.running import running_gateway, write_world


def test_pins_and_registry_tell_and_judge(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = write_world(tmp_path)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("command:", "pin: approve\n    command:", 1), encoding="utf-8")
    with running_gateway(config) as running:

        def run(*arguments: str) -> Run:
            return Run(capsys, "--config", running.config, *arguments)

        waiting = json.loads(run("pins", "ls", "--json").out)["pins"]
        assert {"echo", "nap"} <= {one["name"] for one in waiting}
        assert "echo" in run("pins", "diff", "sdk", "echo").out
        assert run("pins", "diff", "sdk", "nothing").code == 1
        assert run("pins", "reject", "sdk", "nap").code == 0
        assert run("pins", "approve", "sdk", "echo").code == 0
        assert [one["name"] for one in json.loads(run("ls", "--json").out)["tools"]] == ["sdk__echo"]
        left = {one["name"]: one["state"] for one in json.loads(run("pins", "ls", "--json").out)["pins"]}
        assert (left["nap"], "echo" in left) == ("rejected", False)
        assert "nothing is published" in run("registry", "ls").out
        assert run("registry", "approve", "a/b", "1").code == 1
        assert run("registry", "status", "a/b", "1", "gone").code == 2
