"""Challenges: the `WWW-Authenticate` value that tells a client how to come back.

Source: RFC 6750 3, RFC 9728 5.1, MCP authorization.
"""

from collections.abc import Iterable

from gateway_policies.refusal import Unauthenticated

# who sent no credential is told no error; who sent it wrongly is told so (RFC 6750 3.1)
_ERRORS = {"missing_token": "", "token_in_query": "invalid_request", "ambiguous_token": "invalid_request"}


def unauthorized(refusal: Unauthenticated, metadata_url: str, scopes: Iterable[str] = ()) -> str:
    """Return the challenge of a 401.

    metadata_url  where the RFC 9728 document of the called endpoint is
    scopes        the fewest that a call needs
    """
    error = _ERRORS.get(refusal.code, "invalid_token")
    fields = {"resource_metadata": metadata_url, "scope": " ".join(scopes), "error": error}
    if error:
        fields["error_description"] = refusal.message
    return _bearer(fields)


def insufficient_scope(metadata_url: str, scopes: Iterable[str]) -> str:
    """Return the challenge of a 403: every scope that the operation needs, in one go."""
    return _bearer({"error": "insufficient_scope", "scope": " ".join(scopes), "resource_metadata": metadata_url})


def _bearer(fields: dict[str, str]) -> str:
    return "Bearer " + ", ".join(f'{name}="{_quoted(value)}"' for name, value in fields.items() if value)


def _quoted(value: str) -> str:
    """Keep what an `error_description` may hold: printable ASCII without quote and backslash."""
    return "".join(char if " " <= char <= "~" and char not in '"\\' else "'" for char in value)
