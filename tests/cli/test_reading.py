"""`read` and `prompt` against a gateway that really runs, in front of a real server of both."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Run
from support.mcp_servers import CATALOG, start_http_server
from support.running import RunningGateway, running_gateway, write_world

Command = Callable[..., Run]
READERS = """
@id("ops-reads")
permit (principal in Team::"acme/ops", action in [Action::"read", Action::"get"], resource);
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    folder = tmp_path_factory.mktemp("read")
    with start_http_server(program=CATALOG) as server:
        config = write_world(folder, upstreams=f"  notes: {{url: '{server.url}', allow_private: true}}\n")
        (folder / "main.cedar").write_text((folder / "main.cedar").read_text() + READERS)
        with running_gateway(config) as running:
            yield running


@pytest.fixture
def run(served: RunningGateway, capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*arguments: str | Path) -> Run:
        return Run(capsys, "--config", served.config, *arguments)

    return command


@pytest.mark.requirement("cli.read")
def test_a_resource_is_printed_and_given_to_programs(run: Command) -> None:
    read = run("read", "notes://topic/cedar", "--as", "boss")
    assert (read.code, read.out) == (0, "All about cedar\n")
    data: Any = run("read", "notes://index", "--as", "boss", "--toolset", "servers/notes", "--json").data
    assert (data["ok"], data["result"]["contents"][0]["mimeType"]) == (True, "text/plain")


@pytest.mark.requirement("cli.read")
def test_a_resource_is_written_as_it_is(served: RunningGateway, capfd: pytest.CaptureFixture[str]) -> None:
    raw = Run(capfd, "--config", served.config, "read", "notes://topic/cedar", "--as", "boss", "--raw")
    assert (raw.code, raw.out) == (0, "All about cedar")


@pytest.mark.requirement("cli.read")
def test_a_prompt_takes_its_arguments_as_text(run: Command) -> None:
    got = run("prompt", "notes__review", "topic=12", "tone=a=b", "--as", "boss")
    assert (got.code, got.out) == (0, "user: Review 12, and be a=b.\n")
    data: Any = run("prompt", "notes__review", "topic=x", "--as", "boss", "--json").data
    assert data["result"]["messages"][0]["content"]["text"] == "Review x, and be kind."


@pytest.mark.requirement("cli.read")
def test_who_may_not_is_refused_like_for_what_is_not_there(run: Command) -> None:
    for hidden, unknown in (
        (("read", "notes://index"), ("read", "notes://none")),
        (("prompt", "notes__review", "topic=x"), ("prompt", "notes__none")),
    ):
        told = [run(*words, "--as", "planner") for words in (hidden, unknown)]
        assert [one.code for one in told] == [1, 1]
        assert told[0].out == told[1].out.replace("none", hidden[1].rpartition("__")[2].rpartition("/")[2])
    assert run("prompt", "notes__review", "topic", "--as", "boss").code == 2
    assert run("prompt", "notes__review", "topic=a", "topic=b", "--as", "boss").code == 2
    assert run("read", "notes://index", "--as", "boss", "--toolset", "admin").code == 2
