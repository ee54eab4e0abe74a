"""`pins` and `registry`: what the command line says and does, on a running gateway."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
        judge_proposals(run, tmp_path)
        assert "nothing is published" in run("registry", "ls").out
        assert run("registry", "approve", "a/b", "1").code == 1
        assert run("registry", "status", "a/b", "1", "gone").code == 2


SECRET = "hunter2-in-the-recording"
RECORDED = {
    "log": {
        "entries": [
            {
                "request": {"method": "DELETE", "url": f"https://legacy.example/orders/4711?token={SECRET}"},
                "response": {"status": 200, "content": {"mimeType": "application/json", "text": '{"done": true}'}},
            }
        ]
    }
}
DESCRIBED: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "contact": {"name": "Team Pets"}},
    "paths": {"/": {"get": {}}},
}


def judge_proposals(run: Callable[..., Run], folder: Path) -> None:
    """Scan, look, judge, scan again: what was judged stays so until it changes."""
    found = folder / "found"
    found.mkdir()
    (found / "traffic.har").write_text(json.dumps(RECORDED))
    (found / "pets.json").write_text(json.dumps(DESCRIBED))
    scanned = json.loads(run("mesh", "scan", str(found), "--json").out)
    assert sorted(scanned["new"]) == ["legacy-example", "pets"]
    kept = {one["name"]: one for one in json.loads(run("mesh", "proposals", "ls", "--json").out)["proposals"]}
    assert {name: (one["owner"], one["risk"], one["has_draft"]) for name, one in kept.items()} == {
        "legacy-example": ("", "destroy", True),
        "pets": ("Team Pets", "read", False),
    }
    assert "risk destroy" in run("mesh", "proposals", "ls").out
    assert run("mesh", "proposals", "approve", "nothing").code == 1
    assert run("mesh", "proposals", "approve", "pets", "--digest", "sha256:other").code == 1
    draft = json.loads(run("mesh", "proposals", "approve", "legacy-example", "--json").out)["source"]
    assert "/orders/{order_id}" in Path(draft).read_text()
    assert SECRET not in Path(draft).read_text()
    assert json.loads(run("mesh", "lint", draft, "--json").out)["tools"][0]["risk"] == "destroy"
    assert "pets.json" in run("mesh", "proposals", "approve", "pets").out
    assert run("mesh", "proposals", "reject", "pets").code == 0
    assert "no proposal waits" in run("mesh", "proposals", "ls").out
    judged = json.loads(run("mesh", "proposals", "ls", "--all", "--json").out)["proposals"]
    assert [(one["name"], one["state"], bool(one["by"])) for one in judged] == [
        ("legacy-example", "approved", True),
        ("pets", "rejected", True),
    ]
    assert json.loads(run("mesh", "scan", str(found), "--json").out)["new"] == []
    (found / "pets.json").write_text(json.dumps({**DESCRIBED, "paths": {"/": {"delete": {}}}}))
    assert json.loads(run("mesh", "scan", str(found), "--json").out)["new"] == ["pets"]
