"""Exports of other gateways: what stands behind them, as proposals. Kong, Azure APIM, Apigee."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast
from xml.sax.saxutils import unescape

from context_mesh.discovery.proposal import Proposal, items, members, name_of, text

MAX_XML_BYTES: Final = 1024 * 1024
_AUTH: Final = frozenset(
    {"key-auth", "basic-auth", "jwt", "oauth2", "openid-connect", "ldap-auth", "hmac-auth", "mtls-auth"}
)


def from_kong(declarative: object) -> Iterator[Proposal]:
    """Yield the services of a Kong declarative file (decK); routes and what they demand become notes."""
    for service in items(members(declarative).get("services")):
        whole = members(service)
        routes = [members(route) for route in items(whole.get("routes"))]
        paths = [text(path) for route in routes for path in items(route.get("paths")) if text(path)]
        guards = sorted(_guards(whole) | {name for route in routes for name in _guards(route)})
        notes = [f"routes: {', '.join(paths[:8])}"] if paths else []
        notes += [f"its callers need {', '.join(guards)}"] if guards else ["its routes ask for no credential"]
        tags = tuple(text(tag) for tag in items(whole.get("tags")) if text(tag))
        owner = next((tag.partition(":")[2] for tag in tags if tag.startswith(("owner:", "team:"))), "")
        yield Proposal(
            name_of(text(whole.get("name")) or text(whole.get("host"))), "kong", url=_service_url(whole),
            title=text(whole.get("name")), owner=owner, tags=tags, notes=tuple(notes),
        )  # fmt: skip


def _guards(place: Mapping[str, object]) -> set[str]:
    return {text(members(plugin).get("name")) for plugin in items(place.get("plugins"))} & _AUTH


def _service_url(service: Mapping[str, object]) -> str:
    if text(service.get("url")):
        return text(service.get("url"))
    host, port = text(service.get("host")), service.get("port")
    if not host:
        return ""
    scheme = text(service.get("protocol")) or "http"
    where = f":{port}" if isinstance(port, int) and port not in (80, 443) else ""
    return f"{scheme}://{host}{where}{text(service.get('path'))}"


def from_apim(export: object) -> Iterator[Proposal]:
    """Yield the API of an Azure API Management export (`?export=true&format=openapi+json`)."""
    whole = members(export)
    properties = members(whole.get("properties")) or whole
    value = properties.get("value")
    held = members(value)
    link = text(held.get("link"))
    if not link and not held and not isinstance(value, str):
        return
    title = (
        text(properties.get("displayName")) or text(whole.get("name")) or text(members(held.get("info")).get("title"))
    )
    yield Proposal(
        name_of(title or "apim"), "apim", link, title=title,
        description=None if link else (held or cast("str", value)),
    )  # fmt: skip


_TARGET: Final = re.compile(r"<URL>\s*([^<\s]{1,2048})\s*</URL>")
_BASE: Final = re.compile(r"<BasePath>\s*([^<\s]{1,512})\s*</BasePath>")
_PROXY: Final = re.compile(r'<APIProxy\b[^>]*\bname="([^"]{1,128})"')


def from_apigee(files: Mapping[str, bytes]) -> Iterator[Proposal]:
    """Yield the proxy of an Apigee bundle (`apiproxy/…`), and the description in it when it holds one.

    files  the bundle's members by path. XML is searched, not parsed: nothing in it can expand.
    """
    texts = {
        path: body[:MAX_XML_BYTES].decode("utf-8", "replace")
        for path, body in files.items()
        if path.endswith(".xml") and "apiproxy/" in path
    }
    if not texts:
        return
    named = next((match[1] for one in texts.values() if (match := _PROXY.search(one))), "")
    target = next(
        (match[1] for path, one in texts.items() if "/targets/" in path and (match := _TARGET.search(one))), ""
    )
    bases = [match[1] for path, one in texts.items() if "/proxies/" in path and (match := _BASE.search(one))]
    spec = next((path for path in sorted(files) if "/resources/oas/" in path or "/resources/openapi/" in path), "")
    notes = (f"served at {', '.join(bases[:4])}",) if bases else ()
    yield Proposal(name_of(named or "apigee"), "apigee", spec, unescape(target), title=named, notes=notes)
