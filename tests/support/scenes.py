"""Small worlds for tests of the whole gateway: who is in them, what they may, and what must be true of the records."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

PLANNER_SECRET = "the-planner-s-secret-is-long-enough-for-everyone"
SPY_SECRET = "the-spy-s-secret-is-just-as-long-as-the-planner-s"

POLICY = """\
@id("acme-calls")
@reason("acme may call what is not hidden")
permit (principal in Tenant::"acme", action == Action::"call", resource) unless { resource.tags.contains("secret") };
"""

PEOPLE = """\
tenants:
  acme: {teams: {research: {}, platform: {}}}
  globex: {teams: {}}
agents:
  planner: {tenant: acme, teams: [research], owner: ana, credentials: [{kind: client_secret, secret: "file:planner"}]}
  twin: {tenant: acme, teams: [platform], owner: ben, credentials: [{kind: client_secret, secret: "file:twin"}]}
  spy: {tenant: globex, owner: eve, credentials: [{kind: client_secret, secret: "file:spy"}]}
policies: {files: [main.cedar]}
telemetry: {logs: console, level: error}
"""

FILES: Mapping[str, str] = {
    "planner": PLANNER_SECRET,
    "twin": PLANNER_SECRET[::-1],
    "spy": SPY_SECRET,
    "main__cedar": POLICY,
}


def world(upstreams: Iterable[str], more: str = "") -> str:
    """Return a configuration with the usual people around these upstreams (lines of YAML)."""
    entries = "".join(upstreams)
    return PEOPLE + (f"upstreams:\n{entries}" if entries else "") + more


Records = list[Mapping[str, Any]]


def of_kind(records: Records, kind: str, action: str = "call") -> Records:
    """Return the records of one kind; lists are left out unless asked for."""
    listed = {record["call"] for record in records if record.get("action") == "list"}
    wanted = [record for record in records if record["kind"] == kind]
    if kind == "refusal":
        return wanted
    return [record for record in wanted if (record["call"] in listed) == (action == "list")]


def check_books(records: Records) -> None:
    """Assert what must always hold: each decision has exactly one outcome, later, and no outcome is alone."""
    decided = Counter(record["call"] for record in records if record["kind"] == "decision")
    ended = Counter(record["call"] for record in records if record["kind"] == "outcome")
    assert decided == ended
    assert set(decided.values()) <= {1}
