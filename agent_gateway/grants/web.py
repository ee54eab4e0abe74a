"""Asking strangers' authorization servers: JSON in, JSON out, through egress, whole and small.

Nothing here is retried, no redirect is followed, and no error text of a stranger is passed on.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode, urlsplit

from agent_gateway.egress.control_client import ControlClient, ControlResponse
from agent_gateway.identity.compact import Malformed, strict_object
from gateway_policies.refusal import UpstreamFailed

MAX_DOCUMENT_BYTES: Final = 256 * 1024
_JSON: Final = ("accept", "application/json")
Headers = Sequence[tuple[str, str]]


class Web:
    """The control path's client, as the parts of this folder use it.

    allow_http  whether plain http may be spoken: only when the upstream itself is reached so
    """

    def __init__(self, client: ControlClient, *, allow_http: bool) -> None:
        self._client = client
        self._allow_http = allow_http

    async def document(self, url: str) -> Mapping[str, object] | None:
        """Return the JSON object at a URL, None when the host says there is none (4xx); raises `UpstreamFailed`."""
        self.check(url)
        answer = await self._client.send("GET", url, headers=(_JSON,), max_bytes=MAX_DOCUMENT_BYTES)
        if 400 <= answer.status < 500:
            return None
        if answer.status != 200:
            raise UpstreamFailed(f"a metadata host answered with status {answer.status}")
        return _object(answer.body)

    async def form(self, url: str, headers: Headers, fields: Mapping[str, str]) -> tuple[int, Mapping[str, object]]:
        """Post a form; return the status and the JSON object that answers, empty for what is none."""
        body = urlencode({name: value for name, value in fields.items() if value}).encode()
        return await self._post(url, [*headers, ("content-type", "application/x-www-form-urlencoded")], body)

    async def json(self, url: str, body: bytes) -> tuple[int, Mapping[str, object]]:
        """Post a JSON document; return like `form`."""
        return await self._post(url, [("content-type", "application/json")], body)

    async def knock(self, url: str, headers: Headers, body: bytes) -> ControlResponse:
        """Post to the upstream itself, to be told what it wants."""
        return await self._client.send("POST", url, headers=headers, body=body, max_bytes=MAX_DOCUMENT_BYTES)

    def check(self, url: str) -> None:
        """Raise `UpstreamFailed` (`insecure_issuer`) for a URL that no credential may go to."""
        try:
            parts = urlsplit(url)
            is_good = parts.scheme == "https" or (parts.scheme == "http" and self._allow_http)
            is_good = is_good and bool(parts.hostname) and parts.username is None and not parts.fragment
        except ValueError:
            is_good = False
        if not is_good or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise UpstreamFailed("the upstream's authorization is not to be had over https", code="insecure_issuer")

    async def _post(self, url: str, headers: Headers, body: bytes) -> tuple[int, Mapping[str, object]]:
        self.check(url)
        answer = await self._client.send(
            "POST", url, headers=[_JSON, *headers], body=body, max_bytes=MAX_DOCUMENT_BYTES
        )
        try:
            return answer.status, _object(answer.body)
        except UpstreamFailed:
            return answer.status, {}


def _object(body: bytes) -> Mapping[str, object]:
    try:
        return strict_object(body)
    except Malformed:
        raise UpstreamFailed("a metadata host answered with what is no JSON object") from None
