"""The admin listener of a gateway in the test's own process, and tokens that open it or should not."""

import time

import httpx2

from agent_gateway.admin.app import AdminApp
from agent_gateway.identity.keys import SigningKeys
from agent_gateway.identity.operators import mint_local
from support.bridge import StreamingTransport
from support.gateways import TestGateway

ADMIN_URL = "http://127.0.0.1:8081"


def local_token(running: TestGateway, audience: str = ADMIN_URL) -> str:
    """Return what the command line would mint from the data directory."""
    keys = SigningKeys(running.worker.data.operator_keys, clock=time.time)
    return mint_local(keys, audience, time.time())


def admin_app(running: TestGateway) -> AdminApp:
    worker = running.worker
    return AdminApp(worker.gateway, worker.keeper, worker.data)


def admin_client(running: TestGateway, token: str | None = None) -> httpx2.AsyncClient:
    """Return a client of the admin listener.

    token  None: the local operator's; empty: none at all
    """
    bearer = local_token(running) if token is None else token
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    return httpx2.AsyncClient(transport=StreamingTransport(admin_app(running)), base_url=ADMIN_URL, headers=headers)
