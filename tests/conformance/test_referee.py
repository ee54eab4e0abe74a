"""The referee's own parts: what it reads of a run, how it judges, and that its forwarder is told eras apart."""

import json
from pathlib import Path

import pytest

from conformance.expected import judge, load, shrink
from conformance.forwarder import MODERN, refusal_of
from conformance.suite import Found, read

META = {"io.modelcontextprotocol/protocolVersion": MODERN}


def test_a_run_is_read_by_scenario_and_check(tmp_path: Path) -> None:
    write(tmp_path, "server-server-ping-2026-11-25T17-44-03-205Z", {"one": "SUCCESS", "two": "FAILURE"})
    write(tmp_path, "server-tools-list-2026-11-25T17-44-03-205Z", {"one": "SUCCESS", "told": "INFO", "skip": "SKIPPED"})
    found = read(tmp_path)
    assert (found.passed, found.failed) == (2, 1)
    assert found.good == {"server-ping:one", "tools-list:one"}
    assert found.bad == {"server-ping:two": "two is wrong"}


def test_a_check_that_fails_once_is_not_good(tmp_path: Path) -> None:
    write(tmp_path, "server-a-2026-11-25T17-44-03-205Z", {"one": "SUCCESS"})
    write(tmp_path, "server-a-2026-11-25T17-44-04-205Z", {"one": "FAILURE"})
    assert read(tmp_path).good == frozenset()


def test_a_failure_that_nobody_named_is_a_surprise_and_a_name_that_nothing_bears_out_is_stale() -> None:
    found = Found(1, 2, frozenset({"a:fine"}), {"a:odd": "why", "b:odd": "why not"})
    verdict = judge(found, {"b": "known", "a:fine": "was known"})
    assert not verdict.is_good
    assert verdict.surprises == {"a:odd": "why"}
    assert verdict.stale == ("a:fine",)


def test_known_failures_are_good_by_scenario_and_by_check() -> None:
    found = Found(0, 2, frozenset(), {"a:odd": "why", "b:odd": "why not"})
    assert judge(found, {"a:odd": "known", "b": "known"}).is_good


def test_what_passes_at_the_fixture_and_is_not_reached_counts_as_failed() -> None:
    direct = Found(2, 0, frozenset({"a:one", "a:two"}))
    assert [*judge(Found(1, 0, frozenset({"a:one"})), {}, direct).surprises] == ["a:two"]


def test_a_leg_without_a_file_expects_nothing(tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text('"2025-11-25":\n  ping: "not yet"\n')
    assert load("some", "2025-11-25", tmp_path) == {"ping": "not yet"}
    assert load("some", MODERN, tmp_path) == {}
    assert load("other", MODERN, tmp_path) == {}


def test_what_passes_is_taken_out_of_its_version_only(tmp_path: Path) -> None:
    text = """# why
"2025-11-25":
  ping: "not yet"
  "stateless:one": "not yet"
"2026-07-28":
  ping: "not yet"
"""
    (tmp_path / "some.yaml").write_text(text)
    shrink("some", "2025-11-25", ("ping", "stateless:one"), tmp_path)
    assert (tmp_path / "some.yaml").read_text() == '# why\n"2025-11-25":\n"2026-07-28":\n  ping: "not yet"\n'
    assert load("some", "2025-11-25", tmp_path) == {}


@pytest.mark.parametrize(
    ("head", "body", "era"),
    [
        (b"POST /mcp HTTP/1.1\r\nMCP-Protocol-Version: 2026-07-28\r\n\r\n", {"method": "tools/list"}, "modern"),
        (b"POST /mcp HTTP/1.1\r\nhost: a\r\n\r\n", {"method": "tools/list", "params": {"_meta": META}}, "modern"),
        (b"POST /mcp HTTP/1.1\r\nmcp-protocol-version: 2025-11-25\r\n\r\n", {"method": "initialize"}, "legacy"),
        (b"GET /mcp HTTP/1.1\r\nmcp-session-id: a\r\n\r\n", None, "legacy"),
        (b"POST /mcp HTTP/1.1\r\nhost: a\r\n\r\n", ["no", "message"], "legacy"),
    ],
)
def test_the_shim_turns_one_era_away(head: bytes, body: object, era: str) -> None:
    sent = b"" if body is None else json.dumps(body).encode()
    other = "legacy" if era == "modern" else "modern"
    assert refusal_of(head, sent, "") is None
    assert refusal_of(head, sent, other) is None
    refusal = refusal_of(head, sent, era)
    assert refusal is not None
    assert refusal.startswith(b"HTTP/1.1 405" if body is None else b"HTTP/1.1 400")


def write(folder: Path, name: str, statuses: dict[str, str]) -> None:
    (folder / name).mkdir()
    entries = [
        {"id": check, "status": status, "errorMessage": f"{check} is wrong"} for check, status in statuses.items()
    ]
    (folder / name / "checks.json").write_text(json.dumps(entries))
