"""What the configuration says of identities reaches the parts that decide."""

import time
from pathlib import Path

import pytest

from agent_gateway.identity.keys import SigningKeys
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.identity.replay import MemoryReplay
from agent_gateway.identity.throttle import Throttle
from agent_gateway.identity.token_service import TokenGuards
from agent_gateway.runtime.identities import BadIdentity, Keep, known_agent, make_identity
from agent_gateway.snapshot import Identity
from support.config_files import load_text

KEY = '{kind: api_key, id: abcdefghijkl, sha256: "' + "a" * 64 + '", expires: "%s"}'


def identity(folder: Path, text: str) -> Identity:
    keys = SigningKeys(folder / "keys", clock=time.time)
    guards = TokenGuards(MemoryReplay(clock=time.time), Throttle(clock=time.time))
    endpoints = Endpoints("http://127.0.0.1:8080", ("/mcp",), ("tools:call",))
    return make_identity(load_text(folder, text), endpoints, Keep(keys, keys, guards, time.time))


def text_of(agent: str) -> str:
    return f"version: 1\ntenants: {{acme: {{}}}}\nagents:\n  planner: {{tenant: acme, owner: ana, {agent}}}\n"


def test_an_api_key_ends_with_the_last_second_of_its_day(tmp_path: Path) -> None:
    made = identity(tmp_path, text_of(f"credentials: [{KEY % '2027-01-31'}]"))
    found = made.agents.by_api_key("abcdefghijkl")
    assert found is not None
    assert found[1].expires_at == 1801440000  # 2027-02-01T00:00:00Z


def test_a_day_that_no_calendar_has_is_no_end(tmp_path: Path) -> None:
    with pytest.raises(BadIdentity, match="2027-02-31"):
        identity(tmp_path, text_of(f"credentials: [{KEY % '2027-02-31'}]"))


def test_an_agent_carries_only_the_scopes_it_is_given(tmp_path: Path) -> None:
    made = identity(tmp_path, text_of("scopes: []"))
    agent = made.agents.get("planner")
    assert agent is not None
    assert agent.scopes == frozenset()
    config = load_text(tmp_path, text_of("trust: 4")).config.agents["planner"]
    assert (known_agent("planner", config).scopes, known_agent("planner", config).trust) == (None, 4)
