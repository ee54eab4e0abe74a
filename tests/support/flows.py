"""Workflows over a small API of pets, and a way to play them against given answers."""

import json
import re
from collections.abc import Mapping
from typing import Any

from context_mesh.arazzo.binding import Flows, bind
from context_mesh.arazzo.expressions import Reply
from context_mesh.arazzo.load import load
from context_mesh.arazzo.model import Description
from context_mesh.arazzo.play import Ask, Outcome, Wait, play
from context_mesh.openapi.load import load as load_api
from context_mesh.openapi.tool import Tool
from context_mesh.openapi.tools import make_tools

OBJECT = {"type": "object"}
JSON = "application/json"


def body(properties: Mapping[str, Any] | None = None, media: str = JSON) -> dict[str, Any]:
    schema: dict[str, Any] = {**OBJECT, "properties": properties} if properties else {"type": "array", "items": {}}
    return {"content": {media: {"schema": schema}}}


def parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}


PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1"},
    "components": {"securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
    "paths": {
        "/pets": {
            "get": {"operationId": "listPets", "security": [{"k": []}],
                    "parameters": [parameter("tag", "query"), parameter("X-Trace", "header")]},
            "post": {"operationId": "addPet", "requestBody": body({"name": {"type": "string"}, "age": {}, "more": {}})},
        },
        "/pets/{id}": {
            "get": {"operationId": "getPet", "parameters": [parameter("id", "path")]},
            "put": {"operationId": "putPets", "parameters": [parameter("id", "path")], "requestBody": body()},
        },
        "/form": {"post": {"operationId": "sendForm",
                           "requestBody": body({"a": {}, "b": {}}, "application/x-www-form-urlencoded")}},
        "/text": {"post": {"operationId": "sendText", "requestBody": {"content": {"text/plain": {"schema": {}}}}}},
    },
}  # fmt: skip
TOOLS = make_tools(load_api(json.dumps(PETS).encode())).tools
APIS: dict[str, tuple[Tool, ...]] = {"pets": TOOLS}
SOURCES = [{"name": "pets", "type": "openapi", "url": "pets.json"}]


def flow(steps: list[Any], name: str = "run", **more: Any) -> dict[str, Any]:
    return {"workflowId": name, "steps": steps, **more}


def step(name: str = "get", operation: str = "getPet", **more: Any) -> dict[str, Any]:
    return {"stepId": name, "operationId": operation, **more}


def written(*workflows: Any, **more: Any) -> bytes:
    told = {"arazzo": "1.0.1", "info": {"title": "T", "version": "1"}, "sourceDescriptions": SOURCES}
    return json.dumps({**told, "workflows": list(workflows), **more}).encode()


def bound(*workflows: Any, **more: Any) -> Flows:
    return bind(load(written(*workflows, **more)), APIS)


def codes(description: Description | Flows) -> list[str]:
    return [one.code for one in description.findings]


def matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


def played(
    flows: Flows, replies: list[Reply], inputs: Mapping[str, object] | None = None, key: str = "run"
) -> tuple[list[Ask | Wait], Outcome]:
    """Play a workflow against answers in order, the last one again and again; return what it did and how it ended."""
    run, did, at = play(flows, key, inputs or {}, matches), list[Ask | Wait](), 0
    reply: Reply | None = None
    while True:
        try:
            do = run.send(reply)
        except StopIteration as ended:
            return did, ended.value
        did.append(do)
        reply = None
        if isinstance(do, Ask):
            reply = replies[min(at, len(replies) - 1)]
            at += 1


def asked(did: list[Ask | Wait]) -> list[tuple[str, Mapping[str, object]]]:
    return [(one.tool, one.arguments) for one in did if isinstance(one, Ask)]


OK = Reply(200, {"x-next": "2"}, {"id": "p1", "items": [{"id": "p2"}]}, "https://x/pets", "GET")
BAD = Reply(503, {"retry-after": "3"}, {"error": "later"})
