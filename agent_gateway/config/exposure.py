"""Exposure: combinations that are each allowed, and together let somebody in or a secret out."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from agent_gateway.config.listeners import Listener
from agent_gateway.config.problems import Fault, Path
from agent_gateway.config.root import Config
from agent_gateway.config.section import is_loopback
from agent_gateway.config.upstreams import ClientCredentialsAuth, Upstream

_EVERY_INTERFACE = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 -- what we warn of, not what we bind


def check_exposure(config: Config) -> Iterator[Fault]:
    """Yield a fault for each combination that must not run, and a warning for each that needs a second look."""
    yield from _listener(("listeners", "data"), config.listeners.data)
    yield from _listener(("listeners", "admin"), config.listeners.admin)
    yield from _together(config)
    yield from _grpc(config)
    yield from _issuers(config)
    for name, upstream in config.upstreams.items():
        yield from _upstream(("upstreams", name), upstream)
    yield from _token_service(config)
    yield from _telemetry(config)
    yield from _embeddings(config)
    if not config.policies.files and not config.policies.starter:
        hint = "name your Cedar files, or set `policies.starter: true`"
        yield Fault(("policies",), "there are no policies, so every call is denied", hint, severity="warning")


def _plain(url: str) -> bool:
    """Say whether `url` sends in the clear to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _listener(here: Path, listener: Listener) -> Iterator[Fault]:
    if _plain(listener.url) and listener.host not in _EVERY_INTERFACE:
        hint = "tokens would travel in the clear: put TLS in front and write `https://…`"
        yield Fault((*here, "public_url"), "`public_url` is plain http on a name that is not this machine", hint)
    if listener.host not in _EVERY_INTERFACE:
        return
    if listener.public_url is None:
        hint = "write the URL clients use, such as `https://gateway.example.com`"
        yield Fault((*here, "public_url"), "a listener on every interface needs a `public_url`", hint)
    elif _plain(listener.public_url):
        hint = "tokens would travel in the clear: put TLS in front and write `https://…`"
        yield Fault((*here, "public_url"), "`public_url` is plain http on a name that is not this machine", hint)
    if not listener.allowed_hosts:
        hint = "list the names clients use: any web page could reach it by DNS rebinding otherwise"
        yield Fault((*here, "allowed_hosts"), "a listener on every interface needs `allowed_hosts`", hint)


def _together(config: Config) -> Iterator[Fault]:
    data, admin = config.listeners.data, config.listeners.admin
    here: Path = ("listeners", "admin")
    shared = data.host == admin.host or bool({data.host, admin.host} & _EVERY_INTERFACE)
    if shared and data.port == admin.port:
        yield Fault((*here, "port"), f"the data listener has port {data.port} too", "give each listener its own")
    if data.token_audience == admin.token_audience:
        message = "the admin and data listeners share an audience, so an agent's token would open the admin API"
        yield Fault((*here, "audience"), message, "give the admin listener its own `public_url` or `audience`")
    if admin.host in _EVERY_INTERFACE:
        hint = "bind 127.0.0.1 or an inside address"
        yield Fault((*here, "host"), "the admin listener is on every interface", hint, severity="warning")


def _grpc(config: Config) -> Iterator[Fault]:
    listeners, here = config.listeners, ("listeners", "grpc")
    if listeners.grpc is None:
        return
    if listeners.grpc.port in (listeners.data.port, listeners.admin.port):
        yield Fault((*here, "port"), "another listener has this port", "give each listener its own")
    if not is_loopback(listeners.grpc.host):
        hint = "bind 127.0.0.1 and put a proxy with TLS in front"
        yield Fault((*here, "host"), "tokens over gRPC would travel in the clear", hint, severity="warning")


def _issuers(config: Config) -> Iterator[Fault]:
    for name, issuer in config.issuers.items():
        for key, url in (("issuer", issuer.issuer), ("jwks_url", issuer.jwks_url)):
            if url is not None and _plain(url):
                hint = "whoever changes the answer on the way can sign tokens: use https"
                yield Fault(("issuers", name, key), "keys would be fetched over plain http", hint)


def _upstream(here: Path, upstream: Upstream) -> Iterator[Fault]:
    has_credential = upstream.has_credential()
    for key, url in upstream.urls().items():
        if _plain(url) and (has_credential or not upstream.allow_private):
            hint = "use https; plain http is for loopback, or for a private network with `allow_private` and no `auth`"
            yield Fault((*here, key), "arguments and credentials would travel in the clear", hint)
        if is_loopback(urlsplit(url).hostname or "") and not upstream.allow_private:
            hint = "set `allow_private: true` for this upstream if that is meant"
            yield Fault((*here, key), "this URL leads to this machine, which is refused by default", hint)
    if isinstance(upstream.auth, ClientCredentialsAuth) and _plain(upstream.auth.token_url):
        yield Fault((*here, "auth", "token_url"), "the client secret would travel in the clear", "use https")


def _token_service(config: Config) -> Iterator[Fault]:
    own = config.token_service.issuer
    if own is not None and _plain(own):
        yield Fault(("token_service", "issuer"), "the issuer is plain http on another machine", "use https")


def _embeddings(config: Config) -> Iterator[Fault]:
    server = config.search.embeddings
    if server is None:
        return
    here: Path = ("search", "embeddings", "url")
    if _plain(server.url) and (server.key is not None or not server.allow_private):
        yield Fault(here, "the texts of all tools, every search and the key would travel in the clear", "use https")
    if is_loopback(urlsplit(server.url).hostname or "") and not server.allow_private:
        hint = "set `allow_private: true` there if that is meant"
        yield Fault(here, "this URL leads to this machine, which is refused by default", hint)


def _telemetry(config: Config) -> Iterator[Fault]:
    endpoint = config.telemetry.otlp_endpoint
    if endpoint is not None and _plain(endpoint):
        message = "spans name tenants, agents and tools, and would travel in the clear"
        yield Fault(("telemetry", "otlp_endpoint"), message, "use https, or a local collector", severity="warning")
