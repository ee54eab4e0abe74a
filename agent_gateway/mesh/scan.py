"""Scanning: the places that an operator names, for APIs to propose. Nothing is imported and nothing goes live.

A folder is read, a host is asked at its well-known places; what these name elsewhere is only told.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.mesh.sources import MAX_FILES, unpacked
from context_mesh.discovery.catalogs import from_api_catalog, from_backstage, from_kubernetes
from context_mesh.discovery.exports import from_apigee, from_apim, from_kong
from context_mesh.discovery.grading import graded
from context_mesh.discovery.har import from_har
from context_mesh.discovery.proposal import WELL_KNOWN, Proposal, distinct, host_of, members, name_of, text
from context_mesh.discovery.recognise import Source, documents, recognise
from context_mesh.openapi.parse import parse
from gateway_policies.refusal import BadRequest, Refusal

MAX_FILE_BYTES: Final = 32 * 1024 * 1024
MAX_PROBE_BYTES: Final = 10 * 1024 * 1024
PROBE_TIMEOUT_S: Final = 5.0
PROBES_AT_ONCE: Final = 4
_ENDINGS: Final = (".json", ".yaml", ".yml", ".har")
_ARCHIVES: Final = (".zip",)


def scan_path(path: Path) -> tuple[Proposal, ...]:
    """Return what a file or a folder proposes; raises `OSError` when it cannot be read."""
    if path.is_file():
        return distinct(_of_file(path, path.name))
    found: list[Proposal] = []
    for count, file in enumerate(sorted(one for one in path.rglob("*") if one.suffix in (*_ENDINGS, *_ARCHIVES))):
        below = file.relative_to(path)
        is_hidden = any(part.startswith(".") for part in below.parts)
        if count < MAX_FILES and not is_hidden and file.is_file() and not file.is_symlink():
            found += _of_file(file, below.as_posix())
    return distinct(found)


def _of_file(path: Path, shown: str) -> Iterator[Proposal]:
    if path.stat().st_size > MAX_FILE_BYTES:
        return
    body = path.read_bytes()
    if path.suffix in _ARCHIVES:
        try:
            yield from from_apigee(unpacked(body, path.name))
        except BadRequest:
            return
        return
    yield from of_body(body, shown, shown)


def of_body(body: bytes, place: str, base: str) -> Iterator[Proposal]:
    """Yield what the bytes of one file or answer propose.

    place  where it is, a path or a URL
    base   the URL that relative links in it start from; empty when there is none
    """
    values: list[object] = []
    for document in documents(body):
        try:
            values.append(parse(document, place))
        except BadRequest:
            return
    kind = recognise(values)
    if kind:
        yield from _proposals(kind, values, place, base)


def _proposals(kind: Source, values: Sequence[object], place: str, base: str) -> Iterator[Proposal]:
    match kind:
        case "openapi":
            info = members(members(values[0]).get("info"))
            title = text(info.get("title"))
            contact = members(info.get("contact"))
            owner = text(contact.get("name")) or text(contact.get("email"))
            yield Proposal(
                name_of(title or host_of(place) or Path(place).stem),
                "file",
                place,
                title=title,
                owner=owner,
                risk=graded(values[0]),
            )
        case "api-catalog":
            yield from from_api_catalog(values[0], base)
        case "backstage":
            yield from from_backstage(values)
        case "kubernetes":
            yield from from_kubernetes(values)
        case "kong":
            yield from from_kong(values[0])
        case "apim":
            yield from from_apim(values[0])
        case "har":
            yield from from_har(values[0])
        case _:
            return


async def scan_host(url: str, *, allow_private: bool) -> tuple[Proposal, ...]:
    """Return what a host proposes at its well-known places.

    url  http or https; only its origin counts, unless it names a document itself
    Raises a `Refusal` when the host may not be asked, or does not answer anywhere.
    """
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    places = [url] if parts.path not in ("", "/") else [origin + path for path in WELL_KNOWN]
    gate = asyncio.Semaphore(PROBES_AT_ONCE)
    failures: list[Refusal] = []

    async def ask(place: str) -> list[Proposal]:
        async with gate:
            try:
                response = await client.get(place, max_bytes=MAX_PROBE_BYTES)
            except Refusal as refusal:
                failures.append(refusal)
                return []
        found = await asyncio.to_thread(lambda: list(of_body(response.body, place, place)))
        return [
            replace(one, found_in="probe", url=one.url or origin) if one.found_in == "file" else one for one in found
        ]

    async with ControlClient(EgressRules(allow_private=allow_private), timeout_s=PROBE_TIMEOUT_S) as client:
        answers = await asyncio.gather(*(ask(place) for place in places))
    if len(failures) == len(places) and all(not _spoke(one) for one in failures):
        raise failures[0]
    return distinct(proposal for answer in answers for proposal in answer)


def _spoke(failure: Refusal) -> bool:
    return "status" in failure.details
