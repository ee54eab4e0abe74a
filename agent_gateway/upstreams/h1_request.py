"""A request as it goes out on an HTTP/1.1 connection: where to, and its bytes.

Pure: what a URL means and what may be written is decided here, for every way to send it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from agent_gateway.ports import HttpRequest
from gateway_policies.refusal import UpstreamUnreachable

_OWNED: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"te", b"trailer"}
)
_NAMES = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?::[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*")  # joined by colons
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET = re.compile(r"[\x21\x22\x24-\x7e]+")  # visible ASCII, no fragment


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL means for a connection; `path` holds the query too."""

    is_tls: bool
    host: str
    port: int
    host_header: bytes
    path: bytes


@lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """Take an absolute, encoded `http(s)` URL apart; raises `UpstreamUnreachable` when it is not one."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise _misconfigured("its URL is not valid") from error
    is_plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if not is_plain or not _TARGET.fullmatch(url):
        raise _misconfigured("its URL is not valid")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = (parts.hostname or "").lower()
    return Target(parts.scheme == "https", host, port, parts.netloc.encode("ascii"), path.encode("ascii"))


def payload_of(request: HttpRequest, target: Target) -> bytes:
    """Write a request as it goes over the wire; raises `UpstreamUnreachable` for headers that are not safe to send."""
    method, headers, body = request.method, request.headers, request.body
    names = {name.lower() for name, _ in headers}
    # INVARIANT: no value opens a header or a request of its own, whoever wrote it.
    joined = b":".join([name for name, _ in headers])
    are_names = not headers or (_NAMES.fullmatch(joined) and joined.count(b":") == len(headers) - 1)
    if not are_names or not _OWNED.isdisjoint(names) or _CONTROL.search(b"".join([value for _, value in headers])):
        raise _misconfigured("one of the headers for it is not valid")
    if not (method.isascii() and method.isalpha()):
        raise _misconfigured("the method is not one")
    lines = [b"%b %b HTTP/1.1\r\nhost: %b" % (method.encode(), target.path, target.host_header)]
    lines += [b"%b: %b" % pair for pair in headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d" % len(body))
    lines.append(b"\r\n")
    return b"\r\n".join(lines) + body


def _misconfigured(what: str) -> UpstreamUnreachable:
    return UpstreamUnreachable(f"this upstream cannot be called: {what}", code="upstream_misconfigured")
