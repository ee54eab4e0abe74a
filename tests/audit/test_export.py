"""Exports: bundles that verify like the logs, and events for other systems."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_gateway.audit import reader, records
from agent_gateway.audit.export import export
from agent_gateway.audit.reader import Criteria
from agent_gateway.audit.verify import Report, verify
from support.audit_log import FORBID, LAZY, START, VKEY, decision, open_log, outcome, write_calls


async def bundle_of_two_logs(directory: Path) -> Path:
    audit = directory / "audit"
    await write_calls(audit, 4, LAZY)
    await write_calls(audit, 2, LAZY, "w1")
    path = directory / "export.jsonl"
    path.write_bytes(b"".join(export(audit, "bundle")))
    return path


def codes(report: Report) -> list[tuple[str, str, int | None, str]]:
    return [(finding.log, finding.code, finding.index, finding.call) for finding in report.findings]


async def test_a_bundle_holds_every_record_byte_for_byte_and_verifies(tmp_path: Path) -> None:
    path = await bundle_of_two_logs(tmp_path)
    report = verify(path, [VKEY])
    assert (report.findings, report.logs, report.records, report.unanchored) == ([], 2, 12, 0)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["record"] for line in lines if "record" in line and line["log"] == "w0"] == [
        entry.record for entry in reader.entries(tmp_path / "audit" / "w0.db")
    ]


def without(*places: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line for at, line in enumerate(lines) if at not in {place % len(lines) for place in places}]


def with_first(old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: b"".join(lines).replace(old, new, 1).splitlines(keepends=True)


def with_the_second_again(lines: list[bytes]) -> list[bytes]:
    return [*lines, lines[1]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (with_first(b'"permit"', b'"forbid"'), ("w0", "altered", 0, "w0-call-0")),
        (without(-1), ("w1", "truncated", None, "")),
        (without(*range(-4, 0)), ("w1", "truncated", None, "")),
        (without(3), ("w0", "gap", 2, "")),
        (with_the_second_again, ("w0", "gap", None, "")),
        (without(0), None),
        (with_first(b"gateway.acme", b"gateway.umbrella"), ("w0", "checkpoint", None, "")),
    ],
)
async def test_a_bundle_that_was_touched_does_not_verify(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], expected: tuple[str, str, int | None, str] | None
) -> None:
    path = await bundle_of_two_logs(tmp_path)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    report = verify(path, [VKEY])
    if expected is None:  # without its checkpoint a log is unanchored, which the report says
        assert (report.is_ok, report.unanchored) == (True, 8)
    else:
        assert expected in codes(report)


@pytest.mark.parametrize("line", [b"{}\n", b'{"log":"w1","index":4}\n', b"garbage\n", b'{"log":"../w1","index":4}\n'])
async def test_what_is_no_bundle_is_refused(tmp_path: Path, line: bytes) -> None:
    path = await bundle_of_two_logs(tmp_path)
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(ValueError, match="this is no bundle"):
        verify(path, [VKEY])


async def test_a_bundle_of_some_records_only_is_refused(tmp_path: Path) -> None:
    await write_calls(tmp_path, 1)
    with pytest.raises(ValueError, match="a bundle holds every record"):
        export(tmp_path, "bundle", Criteria(tenant="acme"))


async def test_a_log_that_is_still_empty_exports_as_nothing(tmp_path: Path) -> None:
    async with open_log(tmp_path, LAZY):
        pass
    assert list(export(tmp_path, "bundle")) == []


async def written(directory: Path) -> None:
    origin = records.Origin("mcp", "203.0.113.7", "00-aa-bb-01")
    async with open_log(directory, LAZY) as log:
        log.append(decision("c1"))
        log.append(decision("c2", FORBID))
        log.append(outcome("c1", "tool_error"))
        log.append(records.refusal(START + 1, "unauthenticated", 401, origin))


async def test_ocsf_events_have_what_the_class_requires(tmp_path: Path) -> None:
    await written(tmp_path)
    events = [json.loads(line) for line in export(tmp_path, "ocsf")]
    required = {"activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id", "src_endpoint"}
    for event in events:
        assert required | {"time", "type_uid"} <= event.keys()
        assert (event["class_uid"], event["type_uid"], event["metadata"]["version"]) == (6003, 600399, "1.9.0")
        assert event["api"]["operation"]
        assert event["actor"]["user"]["uid"]
    assert [event["status_id"] for event in events] == [1, 2, 2, 2]
    assert [event["status_code"] for event in events] == ["permit", "forbidden", "tool_error", "unauthenticated"]
    assert [event["metadata"]["correlation_uid"] for event in events] == ["c1", "c2", "c1", ""]
    assert events[0]["actor"] == {
        "user": {
            "uid": "planner",
            "type_id": 3,
            "groups": [{"name": "acme/research"}],
            "org": {"name": "acme"},
        },
        "authorizations": [{"decision": "permit", "policy": {"uid": "research-may-read"}}],
    }
    assert events[0]["ai_agent"] == {"uid": "planner", "name": "planner", "type_id": 0}
    assert events[0]["api"] == {"operation": "git__git_log", "service": {"name": "git"}, "request": {"uid": "c1"}}
    assert (events[2]["duration"], events[2]["actor"]["user"]["uid"]) == (5, "planner")
    assert events[3]["src_endpoint"] == {"name": "203.0.113.7"}


async def test_an_export_of_some_records_holds_those_only(tmp_path: Path) -> None:
    await written(tmp_path)
    events = [json.loads(line) for line in export(tmp_path, "cloudevents", Criteria(effect="forbid"))]
    assert len(events) == 1
    data = events[0].pop("data")
    assert (data["call"], data["policies"]) == ("c2", ["no-deletes"])
    assert events[0] == {
        "specversion": "1.0",
        "id": "w0/1",
        "source": "urn:agent-gateway:audit:w0",
        "type": "agent-gateway.decision.v1",
        "time": "2026-09-21T14:13:20.000+00:00",
        "datacontenttype": "application/json",
        "subject": "c2",
    }


async def test_a_refusal_has_no_subject(tmp_path: Path) -> None:
    await written(tmp_path)
    events = [json.loads(line) for line in export(tmp_path, "cloudevents", Criteria(kind="refusal"))]
    assert [("subject" in event, event["type"]) for event in events] == [(False, "agent-gateway.refusal.v1")]
