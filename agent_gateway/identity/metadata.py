"""Metadata: the documents from which a client learns where to get a token, and for what.

Values only; serving them is the work of `oauth_app`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent_gateway.identity.compact import ASYMMETRIC

PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"
AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
TOKEN_PATH = "/oauth/token"  # noqa: S105
JWKS_PATH = "/oauth/jwks"
AUTHORIZE_PATH = "/oauth/authorize"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The resources of this gateway: every URL that a client may dial, and hence ask a token for.

    public_url  scheme and authority as clients see them, with a path prefix or without, no trailing slash
    paths       `/mcp`, `/mcp/{toolset}`, ... ; the first is the default
    scopes      what a token may carry, minimal
    issuers     who may issue tokens for them: our own token service, external issuers
    others      URLs of further resources that our token service issues tokens for (the admin API)
    suffix      a form of each endpoint at its path and this, part of the same resource; empty for none
    """

    public_url: str
    paths: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    suffix: str = ""

    @property
    def default(self) -> str:
        """The resource that a token is for when its request names none."""
        return self.url(self.paths[0])

    def url(self, path: str) -> str:
        """Return the resource of one endpoint: the exact URL that clients dial."""
        return f"{self.public_url}{path}"

    def has(self, resource: str) -> bool:
        """Tell whether `resource` is exactly one of the endpoints or of the others."""
        return self.is_path(resource) or resource in self.others

    def is_path(self, resource: str) -> bool:
        """Tell whether `resource` is exactly one of the endpoints."""
        prefix = self.public_url
        return resource.startswith(prefix) and resource[len(prefix) :] in self.paths

    def metadata_url(self, path: str) -> str:
        """Return where the RFC 9728 document of the endpoint at `path` is: the well-known part comes first."""
        return well_known(self.url(path), PROTECTED_RESOURCE)

    def document(self, suffix: str) -> dict[str, object] | None:
        """Return the RFC 9728 document behind the well-known path plus `suffix`, None when there is none.

        suffix  the path of the resource with its leading slash; empty: the default endpoint's
        """
        prefix = urlsplit(self.public_url).path
        path = suffix.removeprefix(prefix) if suffix.startswith(prefix) else None
        if suffix in ("", prefix):
            path = self.paths[0]
        if path is not None and path not in self.paths and self.suffix:
            path = path.removesuffix(self.suffix)
        if path not in self.paths:
            return None
        return {
            "resource": self.url(path),
            "authorization_servers": list(self.issuers),
            "scopes_supported": list(self.scopes),
            "bearer_methods_supported": ["header"],
        }


def well_known(url: str, name: str) -> str:
    """Return `url` with the well-known path `name` between its authority and its path. Source: RFC 9728 3.1."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{name}{parts.path.rstrip('/')}"


def authorization_server(issuer: str, scopes: Iterable[str]) -> dict[str, object]:
    """Return the RFC 8414 document of the embedded token service.

    issuer  its URL, without a trailing slash; the endpoints lie below it
    """
    return {
        "issuer": issuer,
        # no flow uses it and it refuses everything; clients that require the member would drop the document
        "authorization_endpoint": f"{issuer}{AUTHORIZE_PATH}",
        "token_endpoint": f"{issuer}{TOKEN_PATH}",
        "jwks_uri": f"{issuer}{JWKS_PATH}",
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": sorted(ASYMMETRIC),
        "scopes_supported": list(scopes),
    }
