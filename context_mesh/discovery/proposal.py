"""Proposals: an API that was found somewhere, who answers for it, and what is doubtful about it.

Nothing here is fetched: a proposal says where a description is, or holds it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, cast
from urllib.parse import urlsplit

from context_mesh.openapi.tool import Risk

MAX_PROPOSALS: Final = 2_000  # of one source
_NOT_IN_NAME: Final = re.compile(r"[^a-z0-9]+")

WELL_KNOWN: Final = (
    "/.well-known/api-catalog",  # RFC 9727
    "/openapi.json",  # FastAPI and many others
    "/openapi.yaml",
    "/v3/api-docs",  # springdoc
    "/v2/api-docs",  # springfox
    "/q/openapi",  # Quarkus, MicroProfile
    "/openapi",
    "/swagger/v1/swagger.json",  # .NET
    "/swagger.json",
    "/api-docs",
    "/api/openapi.json",
    "/api/v1/openapi.json",
    "/docs/openapi.json",
    "/swagger/doc.json",  # swag (Go)
)
"""Where descriptions are, on hosts that an operator names; the most telling places first."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One API.

    name         fit for an upstream: `[a-z0-9][a-z0-9-]{0,31}`
    found_in     which kind of source: `api-catalog`, `backstage`, `kubernetes`, `kong`, `apim`, `har`, `file`, `probe`
    spec         where its description is: a URL, or a path beside the source; empty: nobody has written one
    url          base URL for calls, empty when only the description says
    owner        who answers for it, as the source says
    lifecycle    `production`, `deprecated`, … as the source says
    description  the description itself, when the source holds it
    notes        what a person should look at
    risk         the highest grade of its operations, None when `description` says it, or nobody does
    """

    name: str
    found_in: str
    spec: str = ""
    url: str = ""
    title: str = ""
    owner: str = ""
    lifecycle: str = ""
    tags: tuple[str, ...] = ()
    description: Mapping[str, object] | str | None = None
    notes: tuple[str, ...] = ()
    risk: Risk | None = None


def name_of(text: str) -> str:
    """Return a name for an upstream from a title, a host or a path: lower case, hyphens, at most 32 characters."""
    return _NOT_IN_NAME.sub("-", text.lower()).strip("-")[:32].strip("-") or "api"


def judged(proposal: Proposal) -> Proposal:
    """Return the proposal with notes on what can be seen without its description."""
    notes = list(proposal.notes)
    if not proposal.owner:
        notes.append("nobody is named as its owner")
    if proposal.lifecycle.lower() in ("deprecated", "retired", "experimental", "sunset"):
        notes.append(f"its lifecycle is `{proposal.lifecycle[:32]}`")
    for what, url in (("description", proposal.spec), ("calls", proposal.url)):
        if url.startswith("http://"):
            notes.append(f"plain http for its {what}")
    if not proposal.spec and proposal.description is None:
        notes.append("it has no description: somebody has to write one")
    return replace(proposal, notes=tuple(dict.fromkeys(notes)))


def distinct(proposals: Iterable[Proposal]) -> tuple[Proposal, ...]:
    """Return proposals with distinct names, each judged; the same description twice is one proposal."""
    found: dict[str, Proposal] = {}
    seen: set[str] = set()
    for proposal in proposals:
        if proposal.spec and proposal.spec in seen:
            continue
        seen.add(proposal.spec)
        name, number = proposal.name, 2
        while name in found:
            name = f"{proposal.name[:28]}-{number}"
            number += 1
        found[name] = judged(replace(proposal, name=name))
        if len(found) == MAX_PROPOSALS:
            break
    return tuple(found.values())


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, empty for what is none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


# Reading what somebody wrote by hand: the wrong type counts as absent.


def members(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def text(value: object) -> str:
    return value[:2048] if isinstance(value, str) else ""
