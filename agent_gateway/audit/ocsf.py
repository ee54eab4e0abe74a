"""Records as OCSF 1.9.0 events of the class API Activity (6003), in this one file.

A decision and an outcome become one event each, tied by `metadata.correlation_uid`.
What OCSF has no word for is kept under `unmapped`, so nothing is lost.
"""

from collections.abc import Mapping
from typing import cast

from agent_gateway.audit.reader import Entry

OCSF_VERSION = "1.9.0"
_CATEGORY, _CLASS, _ACTIVITY_OTHER = 6, 6003, 99
_INFORMATIONAL, _LOW = 1, 2
_SUCCESS, _FAILURE = 1, 2
_USER_TYPE_USER, _USER_TYPE_SYSTEM = 1, 3


def api_activity(entry: Entry) -> dict[str, object]:
    """Return one record as an API Activity event."""
    record = entry.record
    kind = str(record.get("kind", ""))
    is_good = record.get("effect") == "permit" or record.get("status") == "ok"
    event: dict[str, object] = {
        "category_uid": _CATEGORY,
        "class_uid": _CLASS,
        "activity_id": _ACTIVITY_OTHER,
        "activity_name": str(record.get("action") or kind),
        "type_uid": _CLASS * 100 + _ACTIVITY_OTHER,
        "severity_id": _INFORMATIONAL if is_good else _LOW,
        "status_id": _SUCCESS if is_good else _FAILURE,
        "status_code": str(record.get("code") or record.get("effect") or record.get("status") or ""),
        "time": entry.at_ms,
        "metadata": _metadata(entry, kind),
        "actor": _actor(record),
        "api": _api(record),
        "src_endpoint": {"name": str(record.get("peer") or _principal(record).get("client") or "unknown")},
        "unmapped": dict(record),
    }
    principal = _principal(record)
    if principal.get("kind") == "agent":
        event["ai_agent"] = {"uid": str(principal.get("id")), "name": str(principal.get("id")), "type_id": 0}
    duration = record.get("duration_us")
    if isinstance(duration, int):
        event["duration"] = duration // 1_000
    return event


def _metadata(entry: Entry, kind: str) -> dict[str, object]:
    principal = _principal(entry.record)
    return {
        "version": OCSF_VERSION,
        "product": {"name": "Agent Gateway", "vendor_name": "Agent Gateway"},
        "profiles": ["ai_operation"],
        "log_name": entry.log,
        "sequence": entry.index,
        "uid": f"{entry.log}/{entry.index}",
        "event_code": kind,
        "correlation_uid": str(entry.record.get("call", "")),
        "tenant_uid": str(principal.get("tenant", "")),
    }


def _actor(record: Mapping[str, object]) -> dict[str, object]:
    principal = _principal(record)
    teams = principal.get("teams")
    is_user = principal.get("kind") == "user"
    actor: dict[str, object] = {
        "user": {
            "uid": str(principal.get("id") or "unknown"),
            "type_id": _USER_TYPE_USER if is_user else _USER_TYPE_SYSTEM,
            "groups": [{"name": str(team)} for team in cast(list[object], teams)] if isinstance(teams, list) else [],
            "org": {"name": str(principal.get("tenant", ""))},
        }
    }
    policies = record.get("policies")
    if isinstance(policies, list):
        effect = str(record.get("effect", ""))
        actor["authorizations"] = [
            {"decision": effect, "policy": {"uid": str(policy)}} for policy in cast(list[object], policies)
        ]
    return actor


def _api(record: Mapping[str, object]) -> dict[str, object]:
    capability = record.get("capability")
    if isinstance(capability, Mapping):
        parts = cast(Mapping[str, object], capability)
        return {
            "operation": str(parts.get("name", "")),
            "service": {"name": str(parts.get("upstream", ""))},
            "request": {"uid": str(record.get("call", ""))},
        }
    operation = str(capability or record.get("route") or "unknown")
    return {"operation": operation, "request": {"uid": str(record.get("call", ""))}}


def _principal(record: Mapping[str, object]) -> Mapping[str, object]:
    principal = record.get("principal")
    if isinstance(principal, Mapping):
        return cast(Mapping[str, object], principal)
    return {"tenant": record.get("tenant", ""), "id": record.get("agent", "")}
