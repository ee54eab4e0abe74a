"""Tokens of an authorization server that others wrote (`python demos/environments.py npm`) at the whole gateway."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import httpx2
import pytest

from demos.environments import command, directory, is_made
from support.gateways import call, gateway, rpc
from support.raw_upstream import echo, raw_upstream
from support.scenes import FILES, of_kind, world

SECRET = "a-secret-of-the-test-that-is-long-enough"
AUDIENCE = "https://gw.example/mcp"
SCRIPT = Path(__file__).parents[1] / "support" / "oidc_provider.mjs"


@pytest.fixture(scope="module")
def issuer() -> Generator[str, None, None]:
    if not is_made("npm"):
        pytest.skip("environment `npm` is not made: python demos/environments.py npm")
    modules = directory("npm") / "node_modules"
    with subprocess.Popen(
        [*command("npm", "node"), str(SCRIPT), str(modules)],
        env={"CLIENT_SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
    ) as server:
        assert server.stdout
        yield server.stdout.readline().strip()
        server.terminate()
        server.wait(10)


@pytest.mark.requirement("identity.external-issuer")
async def test_a_workload_of_a_trusted_issuer_calls_and_a_token_for_others_does_not(
    tmp_path: Path, issuer: str
) -> None:
    corp = f"{{issuer: '{issuer}', tenant: acme, unbound: workload, allow_private: true, audiences: ['{AUDIENCE}']}}"
    with anyio.fail_after(30):
        async with (
            raw_upstream({"echo": echo}) as up,
            gateway(tmp_path, world([up.entry()], f"issuers: {{corp: {corp}}}\n"), **FILES) as gate,
        ):
            good, foreign = await token_for(issuer, AUDIENCE), await token_for(issuer, "https://gw.example/rsa")
            async with gate.client(good) as client:
                assert (await call(client, "raw__echo"))["result"]["content"]
            async with gate.client(foreign) as client:
                assert (await rpc(client, "tools/list")).status_code == 401
            records = await gate.settled()
            [decision] = of_kind(records, "decision")
            principal = decision["principal"]
            assert (principal["kind"], principal["id"], principal["tenant"]) == ("workload", "m2m", "acme")
            assert [one["code"] for one in of_kind(records, "refusal")] == ["wrong_audience"]
            assert good.encode() not in b"".join(up.heard)


async def token_for(issuer: str, resource: str) -> str:
    """Get a token for one resource with the client's secret."""
    form = {"grant_type": "client_credentials", "scope": "tools:call", "resource": resource}
    async with httpx2.AsyncClient(auth=("m2m", SECRET)) as client:
        response = await client.post(f"{issuer}/token", data=form)
    return response.json()["access_token"]
