"""What the audit log says: one decision and one outcome per call, or one refusal.

Records are plain JSON objects. Integers, text and lists only; arguments and
results never in clear, only a keyed hash and sizes.

Every record:
    v             1
    kind          "decision", "outcome", "refusal", "approval" or "key"
    at_ms         unix milliseconds

decision    written before anything leaves
    call          the call's id, shared with its outcome
    principal     tenant, kind, id, teams, client, issuer, credential
    chain         delegation, from the first hop: [issuer, subject, is_verified]
    action        "call", "get", "read", "message", "complete" or "list"
    operation     the protocol's word: `tools/call`, `SendMessage`
    route         the endpoint it came in by
    capability    kind, name, native, upstream, pin
    effect        "permit" or "forbid"
    code          why a forbid, in one word; empty for a permit
    policies      ids of the determining policies, sorted
    bundle        content hash of policies, schema and entities
    snapshot      content hash of the configuration in force
    charges       what was set aside: [bucket, window, amount]
    args_hmac     HMAC-SHA-256 of the arguments, as bytes, under a key of the tenant's own; hex
    args_bytes    their size
    trace         W3C traceparent, or empty
    parent        of a step of a composite: the composite's call; only there

outcome     written after, once
    call          as in the decision
    tenant, agent, capability    as in the decision, so that an outcome can be found alone
    status        one of `Status`
    code          the refusal's or the error's code, or empty
    bytes_in, bytes_out          of arguments and result
    duration_us   from the decision to the last byte
    settled       what it really took: [bucket, window, actual]

refusal     a request that was refused before it described a call
    code, status  our code, and the HTTP status it got
    route, peer, trace           where it came in, from whom
    principal     as in a decision, or null when unknown

approval    an operator's word on a definition that was withheld, or on an API that was found
    operator      who
    verdict       "approved", "rejected" or "set"
    upstream, what, name         whose definition: of which list, under which name of its own; of a `proposal` its
                                 name and place; of a `canary` the sibling and its callers
    pin, replaces                its digest, and that of the one approved before; empty for none

key         another key signs the log from here on
    operator      who
    from, to      the public keys, `name+id+key`
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent_gateway.ports import Charge
from gateway_policies.call import Call
from gateway_policies.decision import Decision
from gateway_policies.principal import Principal

VERSION = 1
MAX_CACHED_TENANTS = 4_096
MAX_PEER_CHARS = 64

Status = Literal["ok", "tool_error", "upstream_error", "refused", "cancelled", "timeout", "lost"]
Record = dict[str, object]


class SealedArguments(msgspec.Struct, frozen=True):
    """What a record keeps of a call's arguments."""

    hmac: str  # hex
    size_bytes: int


class _Hmac:
    """HMAC-SHA-256 under one key, its two padded states made once: a fifth of the cost of `hmac.digest`.

    Source: RFC 2104; held to `hmac` by the tests.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(64, b"\0")  # our keys are 32 bytes, shorter than a block
        self._inner = hashlib.sha256(padded.translate(_INNER_PAD))
        self._outer = hashlib.sha256(padded.translate(_OUTER_PAD))

    def hex_of(self, data: bytes) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.hexdigest()


_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class Seal:
    """Turns arguments into what a record may keep of them.

    A plain hash of a small domain can be guessed back; a hash under a secret
    cannot, and under a key per tenant equal arguments of two tenants differ.

    secret  32 bytes from `keys.sealing_secret`
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._keys: dict[str, _Hmac] = {}

    def of(self, tenant: str, arguments: bytes) -> SealedArguments:
        """Return the seal of `arguments`, the exact bytes that are forwarded."""
        key = self._keys.get(tenant) or self._derive(tenant)
        return SealedArguments(key.hex_of(arguments), len(arguments))

    @property
    def cached_tenants(self) -> int:
        """How many derived keys are kept: at most `MAX_CACHED_TENANTS`."""
        return len(self._keys)

    def _derive(self, tenant: str) -> "_Hmac":
        if len(self._keys) >= MAX_CACHED_TENANTS:
            self._keys.clear()
        info = b"agent-gateway/audit/arguments/" + tenant.encode()
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._secret)
        made = self._keys[tenant] = _Hmac(key)
        return made


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a call moved and took."""

    bytes_in: int = 0
    bytes_out: int = 0
    duration_us: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a refused request came from."""

    route: str
    peer: str = ""  # address, without port
    trace: str = ""


def decision(
    call: Call, decided: Decision, charges: Sequence[Charge], arguments: SealedArguments, snapshot: str, trace: str = ""
) -> Record:
    """Return the record of a decision; `charges` are those of the hold, none for a forbid."""
    capability = call.capability
    return {
        "v": VERSION,
        "kind": "decision",
        "call": call.id,
        "at_ms": _ms(call.at),
        "principal": _principal(call.principal),
        "chain": [[hop.issuer, hop.subject, hop.is_verified] for hop in call.principal.chain],
        "action": call.action,
        "operation": call.operation,
        "route": call.route,
        "capability": {
            "kind": capability.kind,
            "name": capability.name,
            "native": capability.native,
            "upstream": capability.upstream,
            "pin": capability.pin,
        },
        "effect": decided.effect,
        "code": decided.code,
        "policies": list(decided.policies),
        "bundle": decided.bundle,
        "snapshot": snapshot,
        "charges": [[charge.bucket, charge.window, charge.amount] for charge in charges],
        "args_hmac": arguments.hmac,
        "args_bytes": arguments.size_bytes,
        "trace": trace,
        **({"parent": call.parent} if call.parent else {}),
    }


def outcome(
    call: Call,
    at: float,
    status: Status,
    code: str = "",
    traffic: Traffic = Traffic(),
    settled: Iterable[tuple[Charge, int]] = (),
) -> Record:
    """Return the record of how a call ended.

    at       unix seconds
    settled  each charge of the hold with what the call really took of it
    """
    return {
        "v": VERSION,
        "kind": "outcome",
        "call": call.id,
        "at_ms": _ms(at),
        "tenant": call.principal.tenant,
        "agent": call.principal.id,
        "capability": call.capability.name,
        "status": status,
        "code": code,
        "bytes_in": traffic.bytes_in,
        "bytes_out": traffic.bytes_out,
        "duration_us": traffic.duration_us,
        "settled": [[charge.bucket, charge.window, actual] for charge, actual in settled],
    }


def refusal(at: float, code: str, status: int, origin: Origin, principal: Principal | None = None) -> Record:
    """Return the record of a request that was refused before it described a call.

    at      unix seconds
    status  the HTTP status it was answered with
    """
    return {
        "v": VERSION,
        "kind": "refusal",
        "at_ms": _ms(at),
        "code": code,
        "status": status,
        "route": origin.route,
        "peer": origin.peer[:MAX_PEER_CHARS],
        "trace": origin.trace,
        "principal": None if principal is None else _principal(principal),
    }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an operator said of a definition, or of a published server.

    what, name     of a server: `server` or `server-status`, and `NAME VERSION`; `upstream` is empty then
    pin, replaces  what holds from now on and what held before: digests, or words for a server
    """

    operator: str
    verdict: Literal["approved", "rejected", "set"]
    upstream: str
    what: str
    name: str
    pin: str
    replaces: str = ""


def approval(at: float, said: Verdict) -> Record:
    """Return the record of an operator's word on a definition; `at` is unix seconds."""
    return {
        "v": VERSION,
        "kind": "approval",
        "at_ms": _ms(at),
        "operator": said.operator,
        "verdict": said.verdict,
        "upstream": said.upstream,
        "what": said.what,
        "name": said.name,
        "pin": said.pin,
        "replaces": said.replaces,
    }


def key_change(at: float, old: str, new: str, operator: str) -> Record:
    """Return the record that announces another key of the log: public keys, `name+id+key`; `at` is unix seconds."""
    return {"v": VERSION, "kind": "key", "at_ms": _ms(at), "operator": operator, "from": old, "to": new}


def _principal(principal: Principal) -> Record:
    return {
        "tenant": principal.tenant,
        "kind": principal.kind,
        "id": principal.id,
        "teams": list(principal.teams),
        "client": principal.client_id,
        "issuer": principal.issuer,
        "credential": principal.credential,
    }


def _ms(at: float) -> int:
    return int(at * 1_000)
