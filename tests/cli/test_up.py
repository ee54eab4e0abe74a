"""`agent-gateway up` as a process: several workers, and an end that waits for nobody's stream."""

import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent_gateway.cli.local import operator_token
from agent_gateway.config.load import load
from support.command_line import Run
from support.running import running_gateway, write_world


def test_several_workers_say_together_that_they_serve(at_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_world(at_home)
    with running_gateway(config, "--workers", "2") as running:
        assert (running.ready["ready"], running.ready["workers"]) == (True, 2)
        for text in ("one", "two", "three"):
            assert Run(capsys, "call", "sdk__echo", "--as", "planner", "--arg", f"text={text}").code == 0
    verified: Any = Run(capsys, "audit", "verify", "--json").data
    assert (verified["ok"], verified["open"]) == (True, [])


def test_a_gateway_told_to_end_does_not_wait_for_an_open_stream(at_home: Path) -> None:
    config = write_world(at_home)
    with running_gateway(config) as running:
        headers = {"authorization": f"Bearer {operator_token(load(config))}"}
        url = f"{running.ready['admin']}/v1/audit/stream"
        with httpx2.Client() as client, client.stream("GET", url, headers=headers) as response:
            assert response.status_code == 200
            running.process.send_signal(signal.SIGTERM)
            assert list(response.iter_lines()) == []
        assert running.process.wait(10) == 0


def test_a_second_gateway_on_the_same_port_is_told_why_it_cannot_start(
    at_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_world(at_home)
    with running_gateway(config):
        second = Run(capsys, "up")
    assert second.code == 1
    assert "cannot listen on 127.0.0.1:" in second.err
    assert "is another gateway running?" in second.err
