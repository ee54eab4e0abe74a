"""Catalogues that organisations keep: RFC 9727 api-catalogs and Backstage entities, and Kubernetes manifests."""

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urljoin

from context_mesh.discovery.proposal import Proposal, host_of, items, members, name_of, text

_RELATIONS: Final = ("service-desc", "item")
_PREFIXES: Final = ("agent-gateway.io", "agw.io", "openapi.io", "swagger.io")
_MAX_DEPTH: Final = 32


def from_api_catalog(linkset: object, url: str) -> Iterator[Proposal]:
    """Yield what an api-catalog names (RFC 9727, `application/linkset+json`).

    url  where the catalogue is, for links relative to it
    """
    for context in items(members(linkset).get("linkset")):
        links = members(context)
        anchor = _joined(url, text(links.get("anchor")))
        for link in items(links.get("service-desc")):
            target = members(link)
            spec = _joined(url, text(target.get("href")))
            if spec:
                title = text(target.get("title"))
                yield Proposal(name_of(title or host_of(anchor) + _path(anchor)), "api-catalog", spec, anchor, title)
        if not links.get("service-desc"):
            for link in items(links.get("item")):
                api = _joined(url, text(members(link).get("href")))
                if api:
                    yield Proposal(name_of(host_of(api) + _path(api)), "api-catalog", "", api)


def _joined(url: str, target: str) -> str:
    try:
        joined = urljoin(url, target) if target else ""
    except ValueError:
        return ""
    return joined if joined.startswith(("https://", "http://")) else ""


def _path(url: str) -> str:
    return "-" + url.partition("://")[2].partition("/")[2]


def from_backstage(entities: Sequence[object]) -> Iterator[Proposal]:
    """Yield the OpenAPI APIs among Backstage entities, with owner and lifecycle."""
    for entity in entities:
        whole = members(entity)
        spec, metadata = members(whole.get("spec")), members(whole.get("metadata"))
        if whole.get("kind") != "API" or text(spec.get("type")).lower() != "openapi":
            continue
        definition = spec.get("definition")
        place = next((text(members(definition).get(key)) for key in ("$text", "$json", "$yaml", "$openapi")
                      if text(members(definition).get(key))), "")  # fmt: skip
        yield Proposal(
            name_of(text(metadata.get("name"))),
            "backstage",
            place,
            title=text(metadata.get("title")) or text(metadata.get("name")),
            owner=text(spec.get("owner")),
            lifecycle=text(spec.get("lifecycle")),
            tags=tuple(text(tag) for tag in items(metadata.get("tags")) if text(tag)),
            description=definition if isinstance(definition, str) and definition.strip() else None,
        )


def from_kubernetes(manifests: Sequence[object]) -> Iterator[Proposal]:
    """Yield services and ingresses whose annotations say where their description is.

    Read are `{prefix}/openapi-path` and `{prefix}/openapi-url` under a few prefixes, `…/owner` beside them,
    and what a `List` holds.
    """
    for manifest in _flat(manifests, 0):
        whole = members(manifest)
        metadata = members(whole.get("metadata"))
        notes = {name: text(value) for name, value in members(metadata.get("annotations")).items()}
        said = {
            key: value
            for prefix in _PREFIXES
            for key in ("openapi-path", "openapi-url", "owner")
            if (value := notes.get(f"{prefix}/{key}", ""))
        }
        if whole.get("kind") not in ("Service", "Ingress") or not said.keys() & {"openapi-path", "openapi-url"}:
            continue
        base = _service_url(whole) if whole.get("kind") == "Service" else _ingress_url(whole)
        labels = members(metadata.get("labels"))
        owner = said.get("owner") or text(labels.get("team")) or text(labels.get("owner"))
        spec = said.get("openapi-url") or _joined(base, said["openapi-path"])
        yield Proposal(name_of(text(metadata.get("name"))), "kubernetes", spec, base, owner=owner)


def _flat(manifests: Sequence[object], depth: int) -> Iterator[object]:
    for manifest in manifests:
        if members(manifest).get("kind") == "List" and depth < _MAX_DEPTH:
            yield from _flat(items(members(manifest).get("items")), depth + 1)
        else:
            yield manifest


def _service_url(service: object) -> str:
    whole = members(service)
    metadata = members(whole.get("metadata"))
    port = next((members(port) for port in items(members(whole.get("spec")).get("ports"))), members(None))
    number = port.get("port", 80)
    scheme = "https" if number == 443 or text(port.get("name")).startswith("https") else "http"
    host = f"{text(metadata.get('name'))}.{text(metadata.get('namespace')) or 'default'}.svc"
    return f"{scheme}://{host}:{number if isinstance(number, int) else 80}/"


def _ingress_url(ingress: object) -> str:
    spec = members(members(ingress).get("spec"))
    host = next((text(members(rule).get("host")) for rule in items(spec.get("rules"))), "")
    return f"{'https' if spec.get('tls') else 'http'}://{host}/" if host else ""
