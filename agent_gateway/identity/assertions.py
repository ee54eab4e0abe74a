"""Assertions: a client proves itself with a token that it signed, `private_key_jwt`.

Source: RFC 7523 3, and 7523bis on the one audience.
"""

from agent_gateway.identity.agents import Agent, PrivateKeyJwt
from agent_gateway.identity.compact import Compact, Malformed, is_signed_by, seconds, text, texts
from agent_gateway.identity.replay import ReplayGuard

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_ASSERTION_LIFE_S = 300
MAX_ID_CHARS = 256
SKEW_S = 60
_TYPES = frozenset({"", "jwt", "client-authentication+jwt"})


def client_of(assertion: Compact) -> str:
    """Return the client id that an assertion claims, not yet believed; empty when it claims none."""
    subject = text(assertion.claims, "sub")
    return subject if subject == text(assertion.claims, "iss") else ""


def is_proof(assertion: Compact, agent: Agent, audiences: frozenset[str], now: float, used: ReplayGuard) -> bool:
    """Tell whether `assertion` proves `agent` to one of `audiences`, now and for the first time.

    audiences  our issuer and token endpoint; the assertion must name exactly one of them and nobody else
    The id is taken only when everything else holds, so a forgery cannot use up an id.
    """
    if not any(_is_by(assertion, signer) for signer in agent.signers()):
        return False
    claims = assertion.claims
    try:
        named, expires_at = texts(claims, "aud"), seconds(claims, "exp")
        not_before, issued_at = seconds(claims, "nbf"), seconds(claims, "iat")
    except Malformed:
        return False
    is_for_us = client_of(assertion) == agent.id and len(named) == 1 and named[0] in audiences
    if not is_for_us or assertion.type not in _TYPES or expires_at is None:
        return False
    is_timely = now < expires_at <= now + MAX_ASSERTION_LIFE_S + SKEW_S
    is_early = max(not_before or 0, issued_at or 0) > now + SKEW_S
    used_id = text(claims, "jti")
    if not is_timely or is_early or not 0 < len(used_id) <= MAX_ID_CHARS:
        return False
    return used.claim(agent.id, used_id, expires_at)


def _is_by(assertion: Compact, signer: PrivateKeyJwt) -> bool:
    keys = (key for key in signer.keys if not assertion.key_id or key.kid in (None, assertion.key_id))
    return any(is_signed_by(assertion, key, signer.algorithms) for key in keys)
