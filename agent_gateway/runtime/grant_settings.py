"""From configuration to what gets tokens of upstreams that announce their authorization server."""

from agent_gateway.config.load import Loaded
from agent_gateway.config.upstream_mcp import McpUpstream
from agent_gateway.config.upstreams import DiscoverAuth
from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.grants.challenge import read_scope
from agent_gateway.grants.client import Client, read_key
from agent_gateway.grants.source import Discovered
from agent_gateway.grants.web import Web
from agent_gateway.runtime.books import DataDir
from gateway_policies.refusal import Unavailable


def discovered_of(name: str, config: McpUpstream, loaded: Loaded) -> Discovered | None:
    """Return what is configured for the upstream `name`, None when it is called otherwise.

    Raises `Unavailable` for a key that is none.
    """
    auth = config.auth
    if not isinstance(auth, DiscoverAuth) or config.url is None:
        return None
    client = None
    if auth.client_id is not None:
        secret = loaded.reveal(auth.client_secret) if auth.client_secret is not None else ""
        key = loaded.reveal(auth.client_key) if auth.client_key is not None else ""
        if key:
            _check_key(name, key)
        client = Client(auth.client_id, secret, key)
    return Discovered(
        name,
        config.url,
        auth.grant,
        DataDir(loaded.data_dir).grants,
        issuer=auth.issuer or "",
        client=client,
        scope=read_scope(auth.scope or ""),
        assertion=loaded.reveal(auth.assertion) if auth.assertion is not None else "",
        redirect_port=auth.redirect_port,
    )


def web_of(settings: Discovered, *, allow_private: bool) -> Web:
    """Return the client that asks this upstream's authorization server, within the upstream's own egress rules."""
    client = ControlClient(EgressRules(allow_private=allow_private))
    return Web(client, allow_http=settings.url.startswith("http://"))


def _check_key(name: str, key: str) -> None:
    try:
        read_key(key)
    except ValueError:
        raise Unavailable(f"`client_key` of `{name}` is no private key in PEM", code="bad_configuration") from None
