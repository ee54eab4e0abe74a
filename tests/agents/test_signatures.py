"""Cards are signed anew with our key, and cards of agents count only when a trusted key signed them whole."""

import base64
import hmac
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from a2a_gateway import signatures
from a2a_gateway.signatures import Header
from support.agent_scenes import agents_behind, caller, rpc
from support.agent_servers import AgentServer
from support.gateways import PUBLIC_URL
from support.raw_agent import http, raw_agent, saying
from support.raw_http import Peer, raw_server
from support.tokens import ec

UNSIGNED = "eyJhbGciOiJub25lIiwia2lkIjoiYWdlbnQtMSJ9"  # alg: none, kid: agent-1
CARD = "/a2a/worker/.well-known/agent-card.json"

# The SDK itself is the judge; apart from us, since it warns of much.
VERIFY = """
import json, sys
from a2a.client.card_resolver import parse_agent_card
from a2a.utils.signing import create_signature_verifier
from jwt import PyJWK
said = json.load(sys.stdin)
keys = {key["kid"]: PyJWK(key) for key in said["keys"]}
create_signature_verifier(lambda kid, jku: keys[kid], ["ES256"])(parse_agent_card(said["card"]))
print("holds")
"""


@pytest.mark.requirement("a2a.card-signatures")
@pytest.mark.parametrize("serve", ["['1.0']", "['1.0', '0.3']"])
async def test_our_signature_holds_for_the_sdk(tmp_path: Path, worker: AgentServer, serve: str) -> None:
    entry = worker.entry("worker", f", serve: {serve}")
    async with agents_behind(tmp_path, [entry]) as running, caller(running, "planner") as ana:
        served = (await ana.get(CARD)).json()
        keys = (await ana.get("/oauth/jwks")).json()["keys"]
        extended = (await rpc(ana, "GetExtendedAgentCard")).json()["result"]
    for one in (served, extended):
        protected = orjson.loads(base64.urlsafe_b64decode(one["signatures"][0]["protected"] + "=="))
        assert (protected["alg"], protected["kid"]) == ("ES256", keys[0]["kid"])
        assert protected["jku"] == f"{PUBLIC_URL}/oauth/jwks"
        told = orjson.dumps({"card": one, "keys": keys})
        done = await anyio.run_process([sys.executable, "-W", "ignore", "-c", VERIFY], input=told, check=False)
        assert done.stdout == b"holds\n", done.stderr.decode()[-800:]


def signed_with(key: ECKey, kid: str, value: Mapping[str, object]) -> dict[str, Any]:
    return signatures.sign(value, Header("ES256", kid), lambda data: JWSRegistry.algorithms["ES256"].sign(data, key))


@pytest.mark.requirement("a2a.card-signatures")
async def test_only_a_card_that_a_trusted_key_signed_whole_is_served(tmp_path: Path) -> None:
    key, other = ec("agent-1"), ec("agent-1")
    (tmp_path / "card.jwks").write_bytes(orjson.dumps({"keys": [key.as_dict(private=False)]}))
    async with raw_agent(saying(http(b"{}"))) as agent:
        plain: dict[str, object] = orjson.loads(agent.card)
        good = signed_with(key, "agent-1", plain)
        agent.card = orjson.dumps(good)
        entry = agent.entry("worker", ", card_keys: 'file:card.jwks'")
        async with agents_behind(tmp_path, [entry]) as running, caller(running, "planner") as ana:
            assert (await ana.get(CARD)).status_code == 200
        bad = {
            "unsigned": plain,
            "another key of that name": signed_with(other, "agent-1", plain),
            "a name of no key": signed_with(key, "agent-2", plain),
            "a member that nobody signed": {**good, "sneak": True},
            "changed afterwards": {**good, "description": "better"},
            "a public key as a secret": with_public_key_as_secret(key, plain),
            "no algorithm": {
                **plain,
                "signatures": [{"protected": "eyJhbGciOiJub25lIiwia2lkIjoiYWdlbnQtMSJ9", "signature": ""}],
            },
        }
        async with raw_server(_unasked) as elsewhere:
            bad["keys that the card itself names"] = signatures.sign(
                plain, Header("ES256", "agent-9", elsewhere.url("/jwks")), _es256(other)
            )
            for what, served in bad.items():
                agent.card = orjson.dumps(served)
                async with agents_behind(tmp_path, [entry]) as running, caller(running, "planner") as ana:
                    assert (await ana.get(CARD)).status_code == 404, what
                    assert "not signed" in running.worker.gateway.snapshot.missing["worker"], what
            assert elsewhere.peers == [], "what a card names is never fetched"


async def _unasked(peer: Peer) -> None:
    raise AssertionError(peer)


def _es256(key: ECKey) -> Callable[[bytes], bytes]:
    return lambda data: JWSRegistry.algorithms["ES256"].sign(data, key)


def with_public_key_as_secret(key: ECKey, value: Mapping[str, object]) -> dict[str, Any]:
    """Return a card with a MAC under a key that everybody knows: what a careless verifier takes for a signature."""
    secret = key.as_pem(private=False)
    return signatures.sign(value, Header("HS256", "agent-1"), lambda data: hmac.digest(secret, data, "sha256"))


async def test_a_key_set_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "card.jwks").write_text('{"keys": [{"kty": "oct", "k": "AAAA", "kid": "x"}]}')
    async with raw_agent(saying(http(b"{}"))) as agent:
        entry = agent.entry("worker", ", card_keys: 'file:card.jwks'")
        async with agents_behind(tmp_path, [entry]) as running:
            assert "card_keys" in running.worker.gateway.snapshot.missing["worker"]
