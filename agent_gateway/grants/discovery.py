"""Finding the authorization server of an upstream, and refusing what does not fit together.

    upstream ─ 401 ─► metadata of the resource (RFC 9728) ─► issuer ─► metadata of the issuer (RFC 8414, OIDC)

An upstream that has no such metadata is one of 2025-03-26: its own origin is the issuer.
Source: MCP 2026-07-28, basic/authorization; RFC 9728 3, RFC 8414 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from agent_gateway.grants.challenge import Challenge, scopes_of
from agent_gateway.grants.web import Web
from agent_gateway.identity.compact import Malformed, text, texts
from gateway_policies.refusal import UpstreamFailed

MAX_ISSUERS: Final = 8
_RESOURCE: Final = "/.well-known/oauth-protected-resource"
_SERVER: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Resource:
    """What an upstream says of itself as a protected resource.

    name     its identifier, exactly as published: what tokens are asked for
    issuers  who may give tokens for it, in its order
    scopes   what there is to ask for, when it says so
    """

    name: str
    issuers: tuple[str, ...]
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthServer:
    """An authorization server by its own metadata; URLs are empty where it has no such endpoint.

    auth_methods, algorithms  how clients may prove themselves at the token endpoint
    proves_issuer             it names itself in authorization responses (RFC 9207)
    takes_urls                client ids may be URLs of metadata documents
    """

    issuer: str
    token_url: str
    authorization_url: str = ""
    registration_url: str = ""
    auth_methods: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    challenges: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    proves_issuer: bool = False
    takes_urls: bool = False


async def find_resource(web: Web, url: str, challenge: Challenge) -> Resource:
    """Return what the upstream at `url` says of itself; raises `UpstreamFailed` (`resource_mismatch`, ...)."""
    for place in _resource_places(url, challenge):
        document = await web.document(place)
        if document is not None:
            return _resource(document, url)
        if challenge.resource_metadata:
            raise UpstreamFailed("the upstream names metadata that is not there", code="bad_metadata")
    return Resource(url, (origin(url),))


def _resource_places(url: str, challenge: Challenge) -> list[str]:
    if challenge.resource_metadata:
        if origin(challenge.resource_metadata) != origin(url):
            raise UpstreamFailed("the upstream's metadata is said to be on another host", code="resource_mismatch")
        return [challenge.resource_metadata]
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}{_RESOURCE}"
    path = parts.path.rstrip("/")
    return [root + path, root] if path else [root]


def _resource(document: Mapping[str, object], url: str) -> Resource:
    name = text(document, "resource")
    if not covers(name, url):
        raise UpstreamFailed("the upstream's metadata is that of another resource", code="resource_mismatch")
    issuers = _listed(document, "authorization_servers")[:MAX_ISSUERS]
    if not issuers:
        raise UpstreamFailed("the upstream names no authorization server", code="bad_metadata")
    return Resource(name, issuers, scopes_of(_listed(document, "scopes_supported")))


def covers(name: str, url: str) -> bool:
    """Whether a resource identifier is that of `url`, or of a path above it on the same origin."""
    try:
        parts, wanted = urlsplit(name), urlsplit(url)
    except ValueError:
        return False
    if parts.fragment or parts.query not in ("", wanted.query) or origin(name) != origin(url):
        return False
    path = parts.path.rstrip("/")
    return wanted.path.rstrip("/") == path or wanted.path.startswith(path + "/")


async def find_server(web: Web, issuer: str) -> AuthServer:
    """Return the metadata of an issuer; raises `UpstreamFailed` (`issuer_mismatch`, `bad_metadata`)."""
    for place in _server_places(issuer):
        document = await web.document(place)
        if document is not None:
            return _server(web, document, issuer)
    raise UpstreamFailed("the upstream's authorization server has no metadata", code="bad_metadata")


def _server_places(issuer: str) -> list[str]:
    parts = urlsplit(issuer)
    base, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    if not path:
        return [base + _SERVER, base + _OPENID]
    return [f"{base}{_SERVER}{path}", f"{base}{_OPENID}{path}", f"{base}{path}{_OPENID}"]


def _server(web: Web, document: Mapping[str, object], issuer: str) -> AuthServer:
    # INVARIANT: byte for byte; one that answers for another could have our credentials sent to itself.
    if text(document, "issuer") != issuer:
        raise UpstreamFailed("the authorization server's metadata is that of another issuer", code="issuer_mismatch")
    token_url = text(document, "token_endpoint")
    further = [text(document, name) for name in ("authorization_endpoint", "registration_endpoint")]
    for url in (token_url, *(one for one in further if one)):
        web.check(url)
    return AuthServer(
        issuer=issuer,
        token_url=token_url,
        authorization_url=further[0],
        registration_url=further[1],
        auth_methods=_listed(document, "token_endpoint_auth_methods_supported"),
        algorithms=_listed(document, "token_endpoint_auth_signing_alg_values_supported"),
        challenges=_listed(document, "code_challenge_methods_supported"),
        scopes=scopes_of(_listed(document, "scopes_supported")),
        proves_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        takes_urls=document.get("client_id_metadata_document_supported") is True,
    )


def _listed(document: Mapping[str, object], name: str) -> tuple[str, ...]:
    try:
        return texts(document, name, limit=256)
    except Malformed:
        raise UpstreamFailed(f"`{name}` of a metadata document is no list of texts", code="bad_metadata") from None


def origin(url: str) -> str:
    """Return `scheme://host[:port]` of a URL, empty for what has none."""
    try:
        parts = urlsplit(url)
        standard = {"https": 443, "http": 80}.get(parts.scheme)
        port = parts.port
    except ValueError:
        return ""
    if not parts.hostname or standard is None or parts.username is not None or "\\" in url:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port in (None, standard) else f":{port}")
