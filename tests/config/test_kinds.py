"""Kinds of upstream: which keys each has, what is refused, what is meant when `kind` is left out."""

from pathlib import Path

import pytest

from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.config.upstream_mcp import McpUpstream
from support.config_files import MINIMAL, errors_of, load_text

AGENT = "  writer: {kind: a2a, url: 'https://writer.example.com/agents/w'"


def with_agent(more: str = "") -> str:
    return MINIMAL.replace("policies:", f"{AGENT}{more}}}\npolicies:")


def test_an_upstream_without_a_kind_speaks_mcp(tmp_path: Path) -> None:
    assert isinstance(load_text(tmp_path, MINIMAL).config.upstreams["time"], McpUpstream)


def test_an_agent_needs_a_url_only(tmp_path: Path) -> None:
    agent = load_text(tmp_path, with_agent()).config.upstreams["writer"]
    assert isinstance(agent, A2aUpstream)
    assert (agent.serve, agent.version, agent.push, agent.visibility) == (("1.0", "0.3"), "auto", "off", "entitled")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (", command: [x]", "unknown key `command`"),
        (", serve: ['1.0', '1.0']", "a version is here twice"),
        (", serve: ['2.0']", "this is not one of the values it can have"),
        (", endpoint: 'https://elsewhere.example.com/rpc'", "`endpoint` is on another origin than `url`"),
        (", card: 'http://127.0.0.1/card'", "this URL leads to this machine, which is refused by default"),
        (", push: on", "this is not one of the values it can have"),
    ],
)
def test_a_mistake_in_an_agent_is_told_at_its_place(tmp_path: Path, more: str, message: str) -> None:
    found = errors_of(tmp_path, with_agent(more))
    assert message in {problem.message for problem in found}
    assert all(problem.key.startswith("upstreams.writer") for problem in found)


def test_an_unknown_kind_names_the_known_ones(tmp_path: Path) -> None:
    found = errors_of(tmp_path, MINIMAL.replace("time: {", "time: {kind: grpc, "))
    assert found[0].message == "this `kind` is not known"
    assert "'mcp', 'a2a'" in found[0].hint


def test_what_is_no_mapping_is_told_so(tmp_path: Path) -> None:
    found = errors_of(tmp_path, MINIMAL.replace("policies:", "  odd: 7\npolicies:"))
    assert [problem.message for problem in found] == ["this must be a mapping"]
