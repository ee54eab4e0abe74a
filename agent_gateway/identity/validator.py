"""The validator: which access tokens hold here, from which issuers, and what they say.

One table of issuers, one order of checks, no network: when keys must be fetched
first it says so and the caller awaits. What the claims mean for a principal is
the work of `authenticate`.

Source: RFC 9068 4, RFC 8725, RFC 8707, MCP authorization.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn, Protocol, cast

from joserfc.jwk import Key

from agent_gateway.identity.agents import claim
from agent_gateway.identity.compact import ASYMMETRIC, Compact, Malformed, is_signed_by, read, seconds, text, texts
from agent_gateway.ports import Clock
from gateway_policies.refusal import Unauthenticated

SKEW_S = 60
MAX_AUDIENCES = 16
MAX_NAME_CHARS = 255
MAX_SCOPES = 256
MAX_TEAMS = 1024


@dataclass(frozen=True, slots=True)
class ClaimMap:
    """Where an issuer's tokens say what: a claim's name, or a dotted path; empty: nowhere."""

    subject: str = "sub"
    client: str = "client_id"
    scopes: str = "scope"
    teams: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer.

    name           what bindings call it
    issuer         its exact `iss`
    audiences      accepted besides none: empty means that the token must name the resource being called
    algorithms     asymmetric ones only
    tenant         whose identities its tokens carry
    teams          short names a token may put its subject in; others are ignored
    unbound        what a subject without a binding is
    is_legacy_typ  takes `typ` `JWT` or none besides `at+jwt`
    may_name_others  takes tokens that are meant for other audiences too
    max_lifetime_s  longest token life
    is_own         the embedded token service; its subjects are the configured agents
    Raises `ValueError` for an algorithm that is symmetric, unknown or `none`.
    """

    name: str
    issuer: str
    tenant: str = ""
    audiences: frozenset[str] = frozenset()
    algorithms: frozenset[str] = frozenset({"ES256", "RS256"})
    claims: ClaimMap = field(default_factory=ClaimMap)
    teams: frozenset[str] = frozenset()
    unbound: Literal["refuse", "user", "workload"] = "refuse"
    is_legacy_typ: bool = False
    may_name_others: bool = False
    max_lifetime_s: int = 86400
    is_own: bool = False

    def __post_init__(self) -> None:
        if not self.algorithms or not self.algorithms <= ASYMMETRIC:
            raise ValueError(f"issuer `{self.name}` may only sign with {', '.join(sorted(ASYMMETRIC))}")


class KeySource(Protocol):
    """The keys of one issuer: `SigningKeys` for our own, `JwksCache` for others."""

    def find(self, key_id: str, algorithm: str) -> Key | None: ...

    def needs_fetch(self, key_id: str) -> bool: ...

    async def refresh(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Verified:
    """What a token proves."""

    issuer: Issuer
    subject: str
    client_id: str
    scopes: frozenset[str]
    teams: tuple[str, ...]  # short names, known ones only
    expires_at: float
    claims: Mapping[str, object]


class KeysNeeded(Exception):
    """Not a verdict: `await source.refresh()` and ask again."""

    def __init__(self, source: KeySource) -> None:
        super().__init__("keys must be fetched first")
        self.source = source


class Validator:
    """Checks access tokens against a fixed table of issuers.

    Raises `ValueError` when two rows share an `iss`: one token must have one reading.
    """

    def __init__(self, issuers: Iterable[tuple[Issuer, KeySource]], *, clock: Clock) -> None:
        self._clock = clock
        self._table: dict[str, tuple[Issuer, KeySource]] = {}
        for issuer, keys in issuers:
            if issuer.issuer in self._table:
                raise ValueError(f"issuer `{issuer.name}` has the `iss` of another one")
            self._table[issuer.issuer] = (issuer, keys)

    def validate(self, token: str, resource: str) -> Verified:
        """Return what `token` proves to the endpoint whose URL is `resource`.

        Raises `Unauthenticated` (`invalid_token`, `unknown_issuer`, `keys_unavailable`, `wrong_audience`,
        `expired_token`) or `KeysNeeded`.
        """
        try:
            compact = read(token)
            # the token picks a row of our table by its exact `iss`; all else comes from the row
            issuer, keys = self._table.get(text(compact.claims, "iss")) or _refuse(
                "the token is of an issuer that is not trusted here", "unknown_issuer"
            )
            _check_signature(compact, issuer, keys)
            _check_type(compact, issuer)
            _check_audience(compact.claims, issuer, resource)
            expires_at = _check_times(compact.claims, issuer, self._clock())
            return _verified(compact.claims, issuer, expires_at)
        except Malformed as error:
            raise Unauthenticated(str(error), code="invalid_token") from error


def _refuse(message: str, code: str = "invalid_token", *, hint: str = "") -> NoReturn:
    raise Unauthenticated(message, code=code, hint=hint or "ask the issuer for a new token for this endpoint")


def _check_signature(compact: Compact, issuer: Issuer, keys: KeySource) -> None:
    algorithm, key_id = compact.algorithm, compact.key_id
    if algorithm not in issuer.algorithms:
        _refuse("the token is signed in a way that its issuer is not trusted for")
    if not key_id:
        _refuse("the token does not name its key")
    if keys.needs_fetch(key_id):
        raise KeysNeeded(keys)
    key = keys.find(key_id, algorithm)
    if key is None:
        raise Unauthenticated(
            "the token is signed with a key that its issuer does not publish, or that cannot be fetched now",
            code="keys_unavailable",
            hint="try again in half a minute, or ask the issuer for a new token",
            retry_after_s=30,
        )
    if not is_signed_by(compact, key, issuer.algorithms):
        _refuse("the signature of the token does not hold")


def _check_type(compact: Compact, issuer: Issuer) -> None:
    accepted = {"at+jwt", "jwt", ""} if issuer.is_legacy_typ else {"at+jwt"}
    if compact.type not in accepted or ("typ" in compact.header and not compact.type):
        _refuse("the token is not an access token")


def _check_audience(claims: Mapping[str, object], issuer: Issuer, resource: str) -> None:
    named = set(texts(claims, "aud", limit=MAX_AUDIENCES))
    accepted = issuer.audiences or {resource}
    is_for_others = not named <= accepted and not issuer.may_name_others
    if not named & accepted or is_for_others:
        _refuse(
            "the token is for another audience", "wrong_audience", hint="ask for one with this resource as audience"
        )


def _check_times(claims: Mapping[str, object], issuer: Issuer, now: float) -> float:
    expires_at, issued_at = seconds(claims, "exp"), seconds(claims, "iat")
    not_before = seconds(claims, "nbf")
    if expires_at is None:
        _refuse("the token never expires")
    if expires_at <= now:
        _refuse("the token has expired", "expired_token")
    if max(not_before or 0, issued_at or 0) > now + SKEW_S:
        _refuse("the token is not valid yet")
    if expires_at - min(now, now if issued_at is None else issued_at) > issuer.max_lifetime_s:
        _refuse("the token lives longer than its issuer is trusted for")
    return expires_at


def _verified(claims: Mapping[str, object], issuer: Issuer, expires_at: float) -> Verified:
    names = issuer.claims
    subject = _name(claims, names.subject)
    if not subject:
        _refuse("the token names no subject")
    listed = _words(claim(claims, names.scopes) if names.scopes else None, MAX_SCOPES)
    teams = _words(claim(claims, names.teams) if names.teams else None, MAX_TEAMS, is_split=False)
    return Verified(
        issuer=issuer,
        subject=subject,
        client_id=_name(claims, names.client) if names.client else "",
        scopes=listed,
        teams=tuple(sorted(teams & issuer.teams)),
        expires_at=expires_at,
        claims=claims,
    )


def _name(claims: Mapping[str, object], path: str) -> str:
    value = claim(claims, path)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARS or not value.isprintable():
        raise Malformed("the token names its subject or client in a way that cannot be used")
    return value


def _words(value: object, limit: int, *, is_split: bool = True) -> frozenset[str]:
    """Return a space-separated text, or a list of texts, as a set; more than `limit` is malformed."""
    if isinstance(value, str) and is_split:
        value = cast("object", value.split())
    return frozenset(texts({"value": value}, "value", limit=limit))


def own_issuer(url: str) -> Issuer:
    """Return the row of the embedded token service."""
    return Issuer(name="own", issuer=url, algorithms=frozenset({"ES256"}), max_lifetime_s=3600, is_own=True)
