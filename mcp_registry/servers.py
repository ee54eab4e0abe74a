"""The registry's entries: what a `server.json` may say, which version is the latest, and pages of them.

Who may see an entry, and where entries are kept, is decided by others.
Source: server.json schema 2025-12-11; registry OpenAPI 2025-12-01 (`/v0.1`).
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, cast

from gateway_policies.refusal import BadRequest

SCHEMA_ID: Final = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
OFFICIAL: Final = "io.modelcontextprotocol.registry/official"
PUBLISHER: Final = "io.modelcontextprotocol.registry/publisher-provided"
OWN: Final = "dev.agent-gateway/registry"
MAX_DOCUMENT_BYTES: Final = 64 * 1024
MAX_PUBLISHER_BYTES: Final = 4 * 1024
MAX_ITEMS: Final = 32  # of packages, remotes, icons
MAX_CURSOR_CHARS: Final = 255  # of a name or a version in it
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 30

Status = Literal["active", "deprecated", "deleted"]
STATUSES: Final[tuple[Status, ...]] = ("active", "deprecated", "deleted")
Approval = Literal["pending", "approved"]

_NAME: Final = re.compile(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*")
_SEMVER: Final = re.compile(r"(\d{1,18})\.(\d{1,18})\.(\d{1,18})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_SHA256: Final = re.compile(r"[a-f0-9]{64}")
# Sequences: what is looked for in them may be any JSON value, hashable or not.
_PACKAGE_TYPES: Final = ("npm", "pypi", "cargo", "oci", "nuget", "mcpb")
_REMOTE_TYPES: Final = ("streamable-http", "sse")


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """One version of one server. Times are unix seconds.

    document  the `server.json`, as JSON values; without our `_meta` key
    owner     who answers for it, for people; `owner_key` is who may change it
    """

    document: Mapping[str, object]
    owner: str = ""
    owner_key: str = ""
    approval: Approval = "approved"
    status: Status = "active"
    status_message: str = ""
    status_at: float = 0.0
    published_at: float = 0.0
    updated_at: float = 0.0

    @property
    def name(self) -> str:
        return str(self.document.get("name", ""))

    @property
    def version(self) -> str:
        return str(self.document.get("version", ""))


# --- what a server.json may say --------------------------------------------------------------


def problems_with(document: object) -> list[str]:
    """Return what is wrong with a `server.json`, each with its place; nothing for a good one."""
    if not isinstance(document, dict):
        return ["a server.json is an object"]
    members = cast("dict[str, object]", document)
    found = [*_heading(members), *_links(members)]
    for name, check in (("packages", _package), ("remotes", _remote), ("icons", _icon)):
        items = members.get(name, [])
        if not isinstance(items, list) or len(cast("list[object]", items)) > MAX_ITEMS:
            found.append(f"{name}: an array of at most {MAX_ITEMS}")
            continue
        for at, item in enumerate(cast("list[object]", items)):
            what = check(cast("dict[str, object]", item)) if isinstance(item, dict) else "an object"
            found += [f"{name}/{at}: {what}"] if what else []
    return found


def _heading(members: Mapping[str, object]) -> Iterable[str]:
    name, version = members.get("name"), members.get("version")
    if not isinstance(name, str) or not 3 <= len(name) <= 200 or not _NAME.fullmatch(name):
        yield "name: `namespace/name`, 3 to 200 of `a-zA-Z0-9.-`, and `_` in the second part"
    if not isinstance(version, str) or len(version) > 255 or version == "latest" or not _VERSION.fullmatch(version):
        yield "version: one version of at most 255 characters, no range, not `latest`"
    if not _is_text(members.get("description"), 100):
        yield "description: 1 to 100 characters"
    if "title" in members and not _is_text(members["title"], 100):
        yield "title: 1 to 100 characters"
    if members.get("$schema", SCHEMA_ID) != SCHEMA_ID:
        yield f"$schema: {SCHEMA_ID}"


def _links(members: Mapping[str, object]) -> Iterable[str]:
    if "websiteUrl" in members and not _is_url(members["websiteUrl"]):
        yield "websiteUrl: an http(s) URL"
    repository = members.get("repository", {"url": "https://x", "source": "x"})
    if not isinstance(repository, dict):
        yield "repository: an object"
    else:
        told = cast("dict[str, object]", repository)
        if not _is_url(told.get("url")) or not _is_text(told.get("source"), 100):
            yield "repository: `url` and `source`"
    meta = members.get("_meta", {})
    if not isinstance(meta, dict) or not isinstance(cast("dict[str, object]", meta).get(PUBLISHER, {}), dict):
        yield "_meta: an object of objects"
    elif len(json.dumps(cast("dict[str, object]", meta).get(PUBLISHER, {})).encode()) > MAX_PUBLISHER_BYTES:
        yield f"_meta: at most {MAX_PUBLISHER_BYTES} bytes of the publisher's own"
    elif cast("dict[str, object]", meta).keys() - {PUBLISHER}:
        yield f"_meta: `{PUBLISHER}` alone is the publisher's"


def _package(package: Mapping[str, object]) -> str:
    kind = package.get("registryType")
    if kind not in _PACKAGE_TYPES:
        return f"registryType: one of {', '.join(sorted(_PACKAGE_TYPES))}"
    if not _is_text(package.get("identifier"), 2048):
        return "identifier: text"
    digest = package.get("fileSha256")
    if (kind == "mcpb" or digest is not None) and not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        return "fileSha256: 64 hexadecimal digits"
    transport = package.get("transport")
    kinds = (*_REMOTE_TYPES, "stdio")
    if not isinstance(transport, dict) or cast("dict[str, object]", transport).get("type") not in kinds:
        return f"transport: a type of {', '.join(sorted(kinds))}"
    return ""


def _remote(remote: Mapping[str, object]) -> str:
    if remote.get("type") not in _REMOTE_TYPES:
        return f"type: one of {', '.join(sorted(_REMOTE_TYPES))}"
    return "" if _is_url(remote.get("url")) else "url: an http(s) URL"


def _icon(icon: Mapping[str, object]) -> str:
    src = icon.get("src")
    return "" if isinstance(src, str) and src.startswith("https://") and len(src) <= 2048 else "src: an https URL"


def _is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and 9 <= len(value) <= 2048


# --- which is the latest ---------------------------------------------------------------------


def latest_of(entries: Sequence[ServerEntry]) -> ServerEntry | None:
    """Return the latest of one server's versions: the highest, or, where one is no semantic version, the last one."""
    there = [entry for entry in entries if entry.status != "deleted"]
    if not there:
        return None
    if any(_SEMVER.fullmatch(entry.version) is None for entry in there):
        return max(there, key=lambda entry: (entry.published_at, entry.version))
    return max(there, key=lambda entry: version_key(entry.version))


def version_key(version: str) -> tuple[object, ...]:
    """Return what versions are ordered by; semantic ones after others."""
    match = _SEMVER.fullmatch(version)
    if match is None:
        return (0, version)
    before = match[4]
    pre = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in before.split(".")) if before else ()
    return (1, int(match[1]), int(match[2]), int(match[3]), before is None, pre)


# --- pages -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a list; times are unix seconds.

    after  the (name, version) that the page before ended with
    """

    after: tuple[str, str] | None = None
    limit: int = DEFAULT_PAGE
    search: str = ""
    updated_since: float | None = None
    version: str = ""
    include_deleted: bool = False


def read_query(asked: Mapping[str, str]) -> Query:
    """Return the query of a list; raises `BadRequest` (`invalid_params`) for what is none."""
    limit = asked.get("limit", str(DEFAULT_PAGE))
    if not limit.isascii() or not limit.isdigit() or len(limit) > 6 or not int(limit):
        raise _invalid("limit", f"a number from 1 to {MAX_PAGE}")
    since = None
    if "updated_since" in asked:
        try:
            since = datetime.fromisoformat(asked["updated_since"]).timestamp()
        except ValueError:
            raise _invalid("updated_since", "a time like 2026-01-31T12:00:00Z") from None
    return Query(
        after=_read_cursor(asked["cursor"]) if asked.get("cursor") else None,
        limit=min(int(limit), MAX_PAGE),
        search=asked.get("search", "")[:200].casefold(),
        updated_since=since,
        version=asked.get("version", ""),
        include_deleted=asked.get("include_deleted", "") == "true" or since is not None,
    )


def list_document(entries: Iterable[ServerEntry], query: Query) -> dict[str, object]:
    """Return one page of what `query` asks for among `entries`, all versions of all servers."""
    by_name: dict[str, list[ServerEntry]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    shown: list[dict[str, object]] = []
    last: ServerEntry | None = None
    for name in sorted(by_name):
        versions = sorted(by_name[name], key=lambda entry: version_key(entry.version))
        latest = latest_of(versions)
        for entry in versions:
            if not _is_asked(entry, query, is_latest=entry is latest) or _is_before(entry, query.after):
                continue
            if len(shown) == query.limit:
                assert last is not None
                cursor = base64.urlsafe_b64encode(json.dumps([last.name, last.version]).encode()).decode()
                return {"servers": shown, "metadata": {"nextCursor": cursor, "count": len(shown)}}
            shown.append(shown_entry(entry, is_latest=entry is latest))
            last = entry
    return {"servers": shown, "metadata": {"count": len(shown)}}


def versions_document(entries: Sequence[ServerEntry]) -> dict[str, object]:
    """Return every version of one server, the newest first."""
    latest = latest_of(entries)
    ordered = sorted(entries, key=lambda entry: version_key(entry.version), reverse=True)
    shown = [shown_entry(entry, is_latest=entry is latest) for entry in ordered]
    return {"servers": shown, "metadata": {"count": len(shown)}}


def shown_entry(entry: ServerEntry, *, is_latest: bool) -> dict[str, object]:
    """Return one version as the registry's clients read it."""
    official: dict[str, object] = {
        "status": entry.status,
        "statusChangedAt": _time(entry.status_at),
        "publishedAt": _time(entry.published_at),
        "updatedAt": _time(entry.updated_at),
        "isLatest": is_latest,
    }
    if entry.status_message:
        official["statusMessage"] = entry.status_message
    own = {"owner": entry.owner, "lifecycle": entry.status, "approval": entry.approval}
    return {"server": dict(entry.document), "_meta": {OFFICIAL: official, OWN: own}}


def with_gateway_remotes(document: Mapping[str, object], urls: Iterable[str]) -> dict[str, object]:
    """Return a `server.json` whose remotes are endpoints of this gateway: others are not reached from here."""
    ours = frozenset(urls)
    remotes = cast("Sequence[Mapping[str, object]]", document.get("remotes", ()))
    kept = [remote for remote in remotes if remote.get("url") in ours]
    others = {name: value for name, value in document.items() if name != "remotes"}
    return {**others, "remotes": kept} if kept else others


def _is_asked(entry: ServerEntry, query: Query, *, is_latest: bool) -> bool:
    if entry.status == "deleted" and not query.include_deleted:
        return False
    if query.version == "latest" and not is_latest:
        return False
    if query.version not in ("", "latest", entry.version):
        return False
    if query.updated_since is not None and entry.updated_at < query.updated_since:
        return False
    texts = (entry.document.get(name, "") for name in ("name", "title", "description"))
    return not query.search or any(query.search in str(text).casefold() for text in texts)


def _is_before(entry: ServerEntry, after: tuple[str, str] | None) -> bool:
    if after is None:
        return False
    name, version = after
    return (entry.name, version_key(entry.version)) <= (name, version_key(version))


def _read_cursor(text: str) -> tuple[str, str]:
    try:
        read: object = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, RecursionError):
        raise _invalid("cursor", "one that a page gave") from None
    parts = cast("list[object]", read) if isinstance(read, list) else []
    if len(parts) != 2 or not all(isinstance(part, str) and len(part) <= MAX_CURSOR_CHARS for part in parts):
        raise _invalid("cursor", "one that a page gave")
    return cast("tuple[str, str]", tuple(parts))


def _invalid(name: str, wanted: str) -> BadRequest:
    return BadRequest(f"`{name}` must be {wanted}", code="invalid_params")


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
