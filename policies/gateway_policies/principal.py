"""Principals: who calls, proved how, in whose name.

Values only. Proving it is the work of `agent_gateway.identity`.
"""

import json
from dataclasses import dataclass, field
from typing import Literal

PrincipalKind = Literal["agent", "user", "workload"]


@dataclass(frozen=True, slots=True)
class Hop:
    """One link of a delegation chain: `subject` acted through the next hop.

    generation   of an agent of ours, when it took part
    teams, trust as they were when it took part; of an agent of ours, what the configuration says counts
    """

    issuer: str
    subject: str
    is_verified: bool  # signed by an issuer we trust, or merely asserted by a caller
    generation: int = 0
    kind: PrincipalKind = "user"
    teams: tuple[str, ...] = ()
    trust: int = 0


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    `key` is the whole identity: use it, never `id` alone, to look anything up.
    `generation` rises when an operator revokes everything this principal holds.
    """

    kind: PrincipalKind
    id: str  # the configured agent id, or the issuer's subject
    tenant: str
    teams: tuple[str, ...] = ()  # full names, `tenant/team`, sorted
    issuer: str = ""  # who vouched: our own token service, an external issuer, or `api_key`
    client_id: str = ""  # the OAuth client, when there is one
    credential: str = ""  # kind of proof: client_secret, private_key_jwt, api_key, oidc
    scopes: frozenset[str] = frozenset()
    trust: int = 0  # 0..10, set by the operator
    chain: tuple[Hop, ...] = ()
    expires_at: float | None = None  # unix seconds; None: until revoked
    generation: int = 0
    txn: str = field(default="", compare=False)  # the transaction its calls are part of, across agents

    @property
    def key(self) -> tuple[str, str, str, str]:
        """(tenant, issuer, client, subject): what returned ids are bound to.

        INVARIANT: whoever acts for somebody is, for each of them, somebody else; the subject then names the chain.
        """
        return (self.tenant, self.issuer, self.client_id, self.id if not self.chain else self._chained())

    def _chained(self) -> str:
        return json.dumps([self.id, *([hop.issuer, hop.subject] for hop in self.chain)])

    @property
    def label(self) -> str:
        """For people and logs: `tenant/id`."""
        return f"{self.tenant}/{self.id}"
