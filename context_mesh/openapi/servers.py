"""Servers: where a description says its operations are; the operator decides whether they are sent there."""

from collections.abc import Mapping

from context_mesh.openapi.members import array, mapping, text, texts
from context_mesh.openapi.model import Server, ServerVariable

_SCHEMES = ("https", "http", "wss", "ws")


def read_servers(written: object) -> tuple[Server, ...]:
    """Return a `servers` member; what is no server in it is left out."""
    return tuple(_server(mapping(item)) for item in array(written) if text(mapping(item).get("url")))


def _server(written: Mapping[str, object]) -> Server:
    variables = {
        name: ServerVariable(text(mapping(value).get("default")), texts(mapping(value).get("enum")))
        for name, value in mapping(written.get("variables")).items()
    }
    return Server(text(written.get("url")).strip(), variables, text(written.get("description")))


def read_host(root: Mapping[str, object]) -> tuple[Server, ...]:
    """Return 2.0's `schemes`, `host` and `basePath` as servers, `https` first; without a host they are relative."""
    host = text(root.get("host")).strip().strip("/")
    base = text(root.get("basePath")).strip().rstrip("/")
    if base and not base.startswith("/"):
        base = "/" + base
    if not host:
        return (Server(base),) if base else ()
    declared = texts(root.get("schemes"))
    schemes = [scheme for scheme in _SCHEMES if scheme in declared] or [""]
    return tuple(Server(f"{scheme}://{host}{base}" if scheme else f"//{host}{base}") for scheme in schemes)
