"""Searching what may be found here: the registry interface of Agentic Resource Discovery.

Entries in, documents out. Only what the caller may see is handed in, so totals and
facets tell nothing else. Page tokens are offsets here; sealing them is the listener's.
We search our own entries alone: nothing is federated, and no referrals are given.
Source: Agentic Resource Discovery 0.9, 7 and appendices A and B.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from a2a_gateway.directory import Entry, Publisher, catalog_entry
from a2a_gateway.errors import form
from a2a_gateway.values import Object, Value, list_of, object_of
from gateway_policies import strict_json
from gateway_policies.refusal import BadRequest, Refusal

MAX_TEXT_CHARS: Final = 2000
MAX_TERMS: Final = 64
MAX_PAGE: Final = 100
MAX_FILTERS: Final = 16
MAX_FACETS: Final = 16
MAX_VALUES: Final = 100  # of one filter
MAX_FILTER_CHARS: Final = 1000
SEARCH_PAGE: Final = 10
LIST_PAGE: Final = 20
FACET_BUCKETS: Final = 20

_WORD: Final = re.compile(r"[a-z0-9]+|[^\W\d_a-z]+", re.IGNORECASE)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CLAUSE: Final = re.compile(r"\s*([A-Za-z]+)\s*(=|>)\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s'\"]+))\s*")
_AND: Final = re.compile(r"\s+AND\s+", re.IGNORECASE)
_WEIGHTS: Final = (("display_name", 4), ("name", 4), ("capabilities", 3), ("tags", 3), ("description", 2))
_BEST: Final = 4

Filter = tuple[str, tuple[str, ...]]  # a path, and the values of which one must be there


@dataclass(frozen=True, slots=True)
class Search:
    """A request to search or to explore; `text` is empty where nothing is searched for."""

    text: str
    filters: tuple[Filter, ...]
    page_size: int = SEARCH_PAGE
    page_token: str = ""
    facets: tuple["Facet", ...] = ()


@dataclass(frozen=True, slots=True)
class Facet:
    """What is counted: the values at a path, the most frequent first."""

    field: str
    limit: int = FACET_BUCKETS
    min_count: int = 1


@dataclass(frozen=True, slots=True)
class Browse:
    """A request to list: a test for each entry, and an order."""

    matches: tuple[Callable[[Object], bool], ...]
    order_by: str
    is_descending: bool
    page_size: int
    page_token: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an answer; `next_offset` is where the next begins, None when this is the last."""

    document: Value
    next_offset: int | None

    def with_token(self, token: str) -> Value:
        """Return the document with the sealed token of the next page."""
        return {**self.document, "pageToken": token}


# --- read ------------------------------------------------------------------------------------


def read_search(body: bytes) -> Search:
    """Read the body of `POST /search`; raises `BadRequest`."""
    members = _members(body, "query", "federation", "pageSize", "pageToken")
    federation = members.get("federation", "auto")
    if federation not in ("auto", "referrals", "none"):
        raise BadRequest("`federation` is one of auto, referrals, none")
    text, filters = _query(members.get("query"))
    if not text.strip():
        raise BadRequest("`query.text` is missing", hint="say what you look for in words")
    token = members.get("pageToken") or ""
    if not isinstance(token, str):
        raise BadRequest("`pageToken` is a string")
    return Search(text, filters, _count(members.get("pageSize"), SEARCH_PAGE, "pageSize"), token)


def read_explore(body: bytes) -> Search:
    """Read the body of `POST /explore`; raises `BadRequest`."""
    members = _members(body, "query", "resultType")
    text, filters = _query(members.get("query", {}))
    wanted = object_of(members.get("resultType")).get("facets")
    facets = list_of(wanted)
    if not facets or len(facets) > MAX_FACETS:
        raise BadRequest(f"`resultType.facets` is a list of 1 to {MAX_FACETS} facets")
    return Search(text, filters, facets=tuple(_facet(object_of(one)) for one in facets))


def read_browse(query: Mapping[str, str]) -> Browse:
    """Read the parameters of `GET /agents`; raises `BadRequest`."""
    text = query.get("filter", "")
    if len(text) > MAX_FILTER_CHARS:
        raise BadRequest(f"`filter` has more than {MAX_FILTER_CHARS} characters")
    clauses = [_clause(part) for part in _AND.split(text)] if text.strip() else []
    field, _, direction = query.get("orderBy", "").strip().partition(" ")
    order_by = field or "displayName"
    if order_by not in _ORDERS or direction.strip().upper() not in ("", "ASC", "DESC"):
        raise BadRequest(f"`orderBy` is one of {', '.join(_ORDERS)}, with ASC or DESC")
    size = query.get("pageSize", "")
    if size and not (size.isascii() and size.isdigit() and len(size) < 6):
        raise BadRequest("`pageSize` is a whole number")
    return Browse(
        tuple(clauses),
        order_by,
        direction.strip().upper() == "DESC",
        _count(int(size) if size else None, LIST_PAGE, "pageSize"),
        query.get("pageToken", ""),
    )


def _members(body: bytes, *known: str) -> Object:
    value = strict_json.parse(body)
    if not isinstance(value, dict):
        raise BadRequest("the body is a JSON object")
    members = cast("Object", value)
    for name in members:
        if name not in known:
            raise BadRequest("the body has a member that nobody here knows", hint=f"known are {', '.join(known)}")
    return members


def _query(value: object) -> tuple[str, tuple[Filter, ...]]:
    query = object_of(value)
    if not isinstance(value, dict) or set(query) - {"text", "filter"}:
        raise BadRequest("`query` is an object with `text` and `filter`")
    text = query.get("text", "")
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
        raise BadRequest(f"`query.text` is a string of at most {MAX_TEXT_CHARS} characters")
    filters = query.get("filter", {})
    if not isinstance(filters, dict) or len(cast("Object", filters)) > MAX_FILTERS:
        raise BadRequest(f"`query.filter` is an object of at most {MAX_FILTERS} constraints")
    return text, tuple(_filter(name, wanted) for name, wanted in cast("Object", filters).items())


def _filter(path: str, wanted: object) -> Filter:
    values = (wanted,) if isinstance(wanted, str) else list_of(wanted)
    is_listed = isinstance(wanted, str | list) and len(values) <= MAX_VALUES
    if not is_listed or not all(isinstance(value, str) for value in values):
        raise BadRequest(f"a constraint is a string, or a list of at most {MAX_VALUES}")
    return path, tuple(cast("Sequence[str]", values))


def _facet(value: Object) -> Facet:
    field = value.get("field")
    if not isinstance(field, str) or not field:
        raise BadRequest("a facet names a `field`")
    limit, least = _count(value.get("limit"), FACET_BUCKETS, "limit"), _count(value.get("minCount"), 1, "minCount")
    return Facet(field, limit, least)


def _count(value: object, default: int, name: str) -> int:
    """Return how many are wanted, never more than a page may have."""
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequest(f"`{name}` is a whole number of at least 1")
    return min(value, MAX_PAGE)


def _clause(text: str) -> Callable[[Object], bool]:
    found = _CLAUSE.fullmatch(text)
    if not found or (found[1], found[2]) not in _CLAUSES:
        raise BadRequest(
            "this filter is not understood",
            hint="clauses like type = 'application/a2a-agent-card+json' are joined by AND; "
            "fields are displayName, type, publisherId and updatedAfter",
        )
    return _CLAUSES[found[1], found[2]](found[3] or found[4] or found[5] or "")


def _name_holds(value: str) -> Callable[[Object], bool]:
    return lambda entry: value.casefold() in str(entry["displayName"]).casefold()


def _one_of(path: str) -> Callable[[str], Callable[[Object], bool]]:
    def clause(value: str) -> Callable[[Object], bool]:
        wanted = {part.strip() for part in value.split(",")}
        return lambda entry: not wanted.isdisjoint(_values(entry, path))

    return clause


def _updated_after(value: str) -> Callable[[Object], bool]:
    return lambda entry: str(entry.get("updatedAt", "")) > value


_CLAUSES: Final[Mapping[tuple[str, str], Callable[[str], Callable[[Object], bool]]]] = {
    ("displayName", "="): _name_holds,
    ("type", "="): _one_of("type"),
    ("publisherId", "="): _one_of("publisher"),
    ("updatedAfter", "="): _updated_after,
    ("updatedAfter", ">"): _updated_after,
}
_ORDERS: Final = ("displayName", "identifier", "type", "updatedAt")


# --- answer ----------------------------------------------------------------------------------


def search(publisher: Publisher, entries: Sequence[Entry], wanted: Search, offset: int = 0) -> Page:
    """Return one page of the best matches, each with a score of 1 to 100."""
    ranked = sorted(_matched(publisher, entries, wanted), key=lambda one: (-one[0], str(one[1]["identifier"])))
    results: list[object] = [
        {**entry, "score": score, "source": publisher.registry}
        for score, entry in ranked[offset : offset + wanted.page_size]
    ]
    return Page({"results": results}, _next(offset, wanted.page_size, len(ranked)))


def browse(publisher: Publisher, entries: Sequence[Entry], wanted: Browse, offset: int = 0) -> Page:
    """Return one page of the entries in order, and how many there are in all."""
    listed = [catalog_entry(publisher, entry) for entry in entries]
    matched = sorted(
        (entry for entry in listed if all(matches(entry) for matches in wanted.matches)),
        key=lambda entry: (str(entry.get(wanted.order_by, "")), str(entry["identifier"])),
        reverse=wanted.is_descending,
    )
    items: list[object] = [*matched[offset : offset + wanted.page_size]]
    return Page({"items": items, "total": len(matched)}, _next(offset, wanted.page_size, len(matched)))


def explore(publisher: Publisher, entries: Sequence[Entry], wanted: Search) -> Value:
    """Return how often each value stands at the paths that are asked for, over all that match."""
    matched = [entry for _, entry in _matched(publisher, entries, wanted)]
    return {"resultType": "facets", "facets": {facet.field: _buckets(matched, facet) for facet in wanted.facets}}


def error(refusal: Refusal) -> tuple[int, Value]:
    """Return the HTTP status and the body of a refusal."""
    status = form(refusal).http_status
    return status, {"errorCode": _ERRORS.get(status, "INTERNAL_ERROR"), "message": refusal.message}


def _next(offset: int, size: int, total: int) -> int | None:
    return offset + size if offset + size < total else None


def _buckets(matched: Iterable[Object], facet: Facet) -> Value:
    counts = Counter(value for entry in matched for value in set(_values(entry, facet.field)))
    ranked = sorted(
        ((count, value) for value, count in counts.items() if count >= facet.min_count),
        key=lambda one: (-one[0], one[1]),
    )
    shown: Value = {"buckets": [{"value": value, "count": count} for count, value in ranked[: facet.limit]]}
    rest = sum(count for count, _ in ranked[facet.limit :])
    return shown | ({"otherCount": rest} if rest else {})


def _matched(publisher: Publisher, entries: Sequence[Entry], wanted: Search) -> Iterator[tuple[int, Value]]:
    """Yield the entries that hold every constraint and have something to do with the text, with their score."""
    terms = list(dict.fromkeys(_terms(wanted.text)))[:MAX_TERMS]
    indexed = [(_index(entry), catalog_entry(publisher, entry)) for entry in entries]
    frequency = Counter(term for index, _ in indexed for term in index)
    rarity = {term: math.log(1 + len(indexed) / (1 + frequency[term])) for term in terms}
    best = sum(rarity.values()) * _BEST
    for index, entry in indexed:
        if not all(_holds(entry, constraint) for constraint in wanted.filters):
            continue
        found = sum(rarity[term] * index.get(term, 0) for term in terms)
        if found or not wanted.text.strip():
            yield (max(1, round(100 * found / best)) if best else 1), entry


def _index(entry: Entry) -> Mapping[str, int]:
    """Return the terms of an entry with the weight of the place where they weigh most."""
    index: dict[str, int] = {}
    for field, weight in _WEIGHTS:
        value = cast("str | tuple[str, ...]", getattr(entry, field))
        for text in (value,) if isinstance(value, str) else value:
            for term in _terms(text):
                index[term] = max(weight, index.get(term, 0))
    return index


def _terms(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case, `WeatherTool` and `weather_tools` alike."""
    for word in _WORD.findall(_CAMEL.sub(" ", text)):
        lower = word.casefold()
        yield lower[:-1] if len(lower) > 3 and lower.endswith("s") else lower


def _holds(entry: Object, constraint: Filter) -> bool:
    path, wanted = constraint
    return not set(wanted).isdisjoint(_values(entry, path))


def _values(entry: Object, path: str) -> Iterator[str]:
    """Yield the texts at a path of an entry; `publisher` is part of its identifier."""
    if path == "publisher":
        yield str(entry["identifier"]).split(":")[2]
        return
    node: object = entry
    for name in path.split("."):
        node = object_of(node).get(name)
    for value in list_of(node) or (node,):
        if isinstance(value, str):
            yield value


_ERRORS: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RATE_LIMIT_EXCEEDED",
}  # fmt: skip
