"""Keys of agent cards: which signatures on cards of agents hold, and how ours are made."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from a2a_gateway import signatures
from a2a_gateway.cards import Card
from a2a_gateway.signatures import Header
from agent_gateway.identity.jwks import fits, public_key
from agent_gateway.identity.keys import ALGORITHM, SigningKeys
from gateway_policies.refusal import UpstreamFailed

Signed = dict[str, object]


def keys_of(text: str) -> Sequence[Key]:
    """Return the usable public keys of a JWK set; raises `ValueError` when there is none, or one has no `kid`."""
    document = json.loads(text)
    entries = cast("dict[str, object]", document).get("keys") if isinstance(document, dict) else None
    found = [
        public_key(cast("dict[str, object]", entry))
        for entry in (cast("list[object]", entries) if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]
    keys = [key for key in found if key is not None and key.kid]
    if not keys:
        raise ValueError("the key set holds no public signature key with a `kid` that is strong enough")
    return keys


def check_card(card: Card, keys: Sequence[Key]) -> None:
    """Refuse a card that no key of these has signed whole: `UpstreamFailed` (code `bad_card`)."""
    by_id = {key.kid: key for key in keys}

    def holds(header: Header, signing_input: bytes, signature: bytes) -> bool:
        key = by_id.get(header.kid)
        return key is not None and fits(key, header.alg) and _is_made_by(key, header.alg, signing_input, signature)

    verdict = signatures.verify(card.raw, holds)
    if verdict is None or not verdict.covers_all:
        raise UpstreamFailed(
            "the agent's card is not signed, whole, by a key that is trusted for it",
            code="bad_card",
            hint="an operator can look at `card_keys` of this agent",
        )


def _is_made_by(key: Key, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
    try:
        return JWSRegistry.algorithms[algorithm].verify(signing_input, signature, key)
    except (JoseError, ValueError, KeyError):
        return False


def signer_of(keys: SigningKeys, jwks_url: str) -> Callable[[Mapping[str, object]], Signed]:
    """Return what signs a card with our current key; a reader finds the key at `jwks_url`."""

    def sign(card: Mapping[str, object]) -> Signed:
        key_id, key = keys.current()
        algorithm = JWSRegistry.algorithms[ALGORITHM]
        return signatures.sign(card, Header(ALGORITHM, key_id, jwks_url), lambda data: algorithm.sign(data, key))

    return sign
