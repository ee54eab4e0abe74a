"""What the records say, field by field, and what they never say."""

import hashlib
import hmac

import orjson
import pytest

from agent_gateway.audit import records
from agent_gateway.audit.records import MAX_CACHED_TENANTS, MAX_PEER_CHARS, Origin, Seal, refusal
from support.audit_log import CHARGE, FORBID, PERMIT, SEAL, START, decision, make_call, outcome


def test_a_decision_says_who_what_why_and_for_how_much() -> None:
    made = decision("c1")
    assert made.pop("args_hmac") == SEAL.of("acme", b'{"path":"."}').hmac
    assert made == {
        "v": 1,
        "kind": "decision",
        "call": "c1",
        "at_ms": 1_790_000_000_000,
        "principal": {
            "tenant": "acme",
            "kind": "agent",
            "id": "planner",
            "teams": ["acme/research"],
            "client": "planner",
            "issuer": "https://gateway.acme.example",
            "credential": "client_secret",
        },
        "chain": [["https://idp.acme.example", "ana", True]],
        "action": "call",
        "operation": "tools/call",
        "route": "mcp",
        "capability": {
            "kind": "tool",
            "name": "git__git_log",
            "native": "git_log",
            "upstream": "git",
            "pin": "sha256:aa",
        },
        "effect": "permit",
        "code": "",
        "policies": ["research-may-read"],
        "bundle": "bundle-1",
        "snapshot": "snapshot-1",
        "charges": [["acme-day/acme", "2026-11-23", 3]],
        "args_bytes": 12,
        "trace": "00-aa-bb-01",
    }


def test_a_forbid_says_why_and_charges_nothing() -> None:
    made = decision("c1", FORBID)
    assert [made[name] for name in ("effect", "code", "policies", "charges")] == [
        "forbid",
        "forbidden",
        ["no-deletes"],
        [],
    ]


def test_an_outcome_can_be_found_and_booked_alone() -> None:
    assert outcome("c1", "tool_error") == {
        "v": 1,
        "kind": "outcome",
        "call": "c1",
        "at_ms": 1_790_000_000_250,
        "tenant": "acme",
        "agent": "planner",
        "capability": "git__git_log",
        "status": "tool_error",
        "code": "",
        "bytes_in": 12,
        "bytes_out": 34,
        "duration_us": 5_600,
        "settled": [["acme-day/acme", "2026-11-23", 2]],
    }
    bare = records.outcome(make_call("c1"), START, "refused", "over_budget")
    assert (bare["code"], bare["settled"], bare["duration_us"]) == ("over_budget", [], 0)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_refusal_says_what_is_known(is_known: bool) -> None:
    principal = make_call().principal if is_known else None
    made = refusal(START, "unauthenticated", 401, Origin("mcp", "203.0.113.7", "00-aa-bb-01"), principal)
    who = made.pop("principal")
    assert who == (decision()["principal"] if is_known else None)
    assert made == {
        "v": 1,
        "kind": "refusal",
        "at_ms": 1_790_000_000_000,
        "code": "unauthenticated",
        "status": 401,
        "route": "mcp",
        "peer": "203.0.113.7",
        "trace": "00-aa-bb-01",
    }


def test_a_peer_cannot_fill_the_log() -> None:
    assert refusal(START, "bad_request", 400, Origin("mcp", "x" * 1_000))["peer"] == "x" * MAX_PEER_CHARS


def test_arguments_are_never_in_clear() -> None:
    sealed = SEAL.of("acme", b'{"iban":"DE89370400440532013000"}')
    made = records.decision(make_call(), PERMIT, [CHARGE], sealed, "snapshot-1")
    assert b"DE89" not in orjson.dumps(made)
    assert made["args_hmac"] != hashlib.sha256(b'{"iban":"DE89370400440532013000"}').hexdigest()


def test_equal_arguments_are_equal_within_a_tenant_and_differ_between_tenants_and_gateways() -> None:
    arguments = b'{"answer":42}'
    assert SEAL.of("acme", arguments) == SEAL.of("acme", arguments)
    assert SEAL.of("acme", arguments) != SEAL.of("acme", b'{"answer": 42}')
    assert SEAL.of("acme", arguments) != SEAL.of("umbrella", arguments)
    assert SEAL.of("acme", arguments) != Seal(bytes(31) + b"\x01").of("acme", arguments)
    assert SEAL.of("acme", arguments).size_bytes == 13


def test_the_seal_is_hmac_sha256_under_a_key_derived_by_hkdf() -> None:
    # RFC 5869 by hand: extract with a salt of zeros, expand one block
    extracted = hmac.digest(bytes(32), bytes(32), "sha256")
    key = hmac.digest(extracted, b"agent-gateway/audit/arguments/acme\x01", "sha256")
    assert SEAL.of("acme", b"{}").hmac == hmac.digest(key, b"{}", "sha256").hex()


def test_many_tenants_do_not_fill_the_memory() -> None:
    seal = Seal(bytes(32))
    first = seal.of("tenant-0", b"{}")
    for number in range(MAX_CACHED_TENANTS + 2):
        seal.of(f"tenant-{number}", b"{}")
    assert seal.cached_tenants <= MAX_CACHED_TENANTS
    assert seal.of("tenant-0", b"{}") == first
