"""Recorded traffic (HAR) to a draft of a description, for APIs that nobody has described.

A draft says what was seen, not what is allowed. Values of the recording never get into it: names and types do.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from context_mesh.discovery.proposal import Proposal, items, members, name_of, text

MAX_ENTRIES: Final = 20_000
MAX_OPERATIONS: Final = 500  # of one origin
MAX_PROPERTIES: Final = 100
MAX_DEPTH: Final = 6
_ID: Final = re.compile(
    r"[0-9]+|[0-9a-fA-F]{8}-?[0-9a-fA-F-]{4,}|[0-9a-fA-F]{16,}|[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]{7,}"
)
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})
_SECRET: Final = re.compile(r"token|secret|key|password|auth|session|signature", re.IGNORECASE)

Json = dict[str, object]


def from_har(recording: object) -> Iterator[Proposal]:
    """Yield a draft for every origin of which JSON was asked for."""
    by_origin: defaultdict[str, list[Mapping[str, object]]] = defaultdict(list)
    for entry in items(members(members(recording).get("log")).get("entries"))[:MAX_ENTRIES]:
        request, response = members(members(entry).get("request")), members(members(entry).get("response"))
        try:
            parts = urlsplit(text(request.get("url")))
            port = parts.port
        except ValueError:
            continue
        kind = text(members(response.get("content")).get("mimeType"))
        if parts.scheme in ("http", "https") and parts.hostname and "json" in kind:
            origin = f"{parts.scheme}://{parts.hostname}" + (f":{port}" if port else "")
            by_origin[origin].append(members(entry))
    for origin, entries in by_origin.items():
        draft = _draft(origin, entries)
        if draft["paths"]:
            yield Proposal(
                name_of(urlsplit(origin).hostname or ""), "har", url=origin, description=draft,
                notes=("a draft from recorded traffic: what was not seen is missing, what was seen may be wrong",),
            )  # fmt: skip


def _draft(origin: str, entries: list[Mapping[str, object]]) -> Json:
    paths: dict[str, Json] = {}
    for entry in entries:
        request = members(entry.get("request"))
        method = text(request.get("method")).lower()
        parts = urlsplit(text(request.get("url")))
        path, names = _template(parts.path)
        if method not in _METHODS or (path not in paths and len(paths) >= MAX_OPERATIONS):
            continue
        operation = cast("Json", paths.setdefault(path, {}).setdefault(method, _operation(names)))
        _add_query(operation, parts.query)
        _add_body(operation, request)
        _add_answer(operation, members(entry.get("response")))
    return {
        "openapi": "3.1.0", "info": {"title": f"Draft of {urlsplit(origin).hostname}", "version": "0"},
        "servers": [{"url": origin}], "paths": paths,
    }  # fmt: skip


def _template(path: str) -> tuple[str, list[str]]:
    """Return a path in which what looks like an identifier is a parameter, named after what is before it."""
    parts: list[str] = []
    names: list[str] = []
    for part in path.split("/"):
        if part and _ID.fullmatch(unquote(part)):
            before = re.sub(r"[^A-Za-z0-9]", "", parts[-1]) if parts and not parts[-1].startswith("{") else ""
            name = f"{before.removesuffix('s') or 'id'}_id" if before else "id"
            while name in names:
                name += "_"
            names.append(name)
            parts.append("{" + name + "}")
        else:
            parts.append(part.replace("{", "%7B").replace("}", "%7D"))
    return "/".join(parts) or "/", names


def _operation(names: list[str]) -> Json:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    return {"parameters": parameters, "responses": {}}


def _add_query(operation: Json, query: str) -> None:
    parameters = cast("list[Json]", operation["parameters"])
    known = {one["name"] for one in parameters}
    for name, value in parse_qsl(query)[:MAX_PROPERTIES]:
        if name not in known and not _SECRET.search(name):
            known.add(name)
            kind = (
                "integer"
                if re.fullmatch(r"-?[0-9]{1,15}", value)
                else "boolean"
                if value in ("true", "false")
                else "string"
            )
            parameters.append({"name": name, "in": "query", "schema": {"type": kind}})


def _add_body(operation: Json, request: Mapping[str, object]) -> None:
    data = members(request.get("postData"))
    if "json" not in text(data.get("mimeType")):
        return
    value = _parsed(data.get("text"))
    if value is not None:
        schema = schema_of(value)
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}


def _add_answer(operation: Json, response: Mapping[str, object]) -> None:
    status = response.get("status")
    responses = cast("Json", operation["responses"])
    if not isinstance(status, int) or not 200 <= status < 300 or str(status) in responses:
        return
    value = _parsed(members(response.get("content")).get("text"))
    answer: Json = {"description": "seen"}
    if value is not None:
        answer["content"] = {"application/json": {"schema": schema_of(value)}}
    responses[str(status)] = answer


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return None
    try:
        return cast("object", json.loads(value))
    except (ValueError, RecursionError):
        return None


def schema_of(value: object, depth: int = 0) -> Json:
    """Return a schema that a value fits: types and names only, nothing of the value itself."""
    if depth > MAX_DEPTH:
        return {}
    if isinstance(value, dict):
        found = list(cast("dict[str, object]", value).items())[:MAX_PROPERTIES]
        return {"type": "object", "properties": {name: schema_of(item, depth + 1) for name, item in found}}
    if isinstance(value, list):
        held = cast("list[object]", value)
        return {"type": "array", "items": schema_of(held[0], depth + 1) if held else {}}
    kinds: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
    kind = kinds.get(type(value))
    return {"type": kind} if kind else {}
