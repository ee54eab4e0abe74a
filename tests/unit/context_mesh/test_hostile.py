"""Hostile descriptions: bounded time, a clear report, nothing read that is not there, nothing invalid made."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import jsonschema_rs
import orjson
import pytest

from context_mesh.openapi.limits import Limits
from context_mesh.openapi.load import load
from context_mesh.openapi.members import array, mapping
from context_mesh.openapi.parse import parse
from context_mesh.openapi.tool import Tool
from context_mesh.openapi.tools import Toolbox, make_tools
from demos.mesh_report import references
from gateway_policies.refusal import BadRequest
from support.descriptions import described, input_of
from support.mutations import SPECS

METASCHEMA: Final = jsonschema_rs.validator_for({"$ref": "https://json-schema.org/draft/2020-12/schema"})
JSON: Final = "application/json"
FILES: Final = sorted(
    path for path in SPECS.rglob("*") if path.suffix in (".json", ".yaml") and not path.name.endswith(".arazzo.yaml")
)


def assert_sound(toolbox: Toolbox) -> None:
    """Assert of every tool what is promised of all."""
    names = [tool.name for tool in toolbox.tools]
    assert len(set(names)) == len(names)
    for tool in toolbox.tools:
        assert 0 < len(tool.name) <= 64
        assert tool.name.replace("_", "").replace("-", "").isalnum()
        assert tool.name.isascii()
        assert tool.description
        orjson.dumps(tool.definition())
        for schema in (tool.full_schema, tool.input_schema, tool.output_schema):
            if schema is not None:
                assert_schema(dict(schema))
        assert_no_credentials(tool)


def assert_schema(schema: dict[str, object]) -> None:
    assert schema["type"] == "object"
    assert METASCHEMA.is_valid(schema)
    assert {reference.removeprefix("#/$defs/") for reference in references(schema)} <= mapping(
        schema.get("$defs")
    ).keys()
    check = jsonschema_rs.validator_for(schema)
    for value in ({}, {"body": {}}, {"a": [{"a": 1}]}, {"id": "x", "body": {"a": None}}):
        check.is_valid(value)


def assert_no_credentials(tool: Tool) -> None:
    named = {need.scheme.parameter.lower() for needs in tool.operation.security for need in needs} - {""}
    for argument in tool.arguments:
        parameter = argument.parameter
        if parameter is not None and parameter.location != "path":
            assert parameter.name.lower() not in named | {"authorization", "cookie"}


@pytest.mark.requirement("mesh.tools-are-sound")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_real_description_gives_sound_tools_and_the_same_again(path: Path) -> None:
    body = path.read_bytes()

    def made() -> Toolbox:
        return make_tools(load(body, name=path.name))

    toolbox = made()
    assert_sound(toolbox)
    again = [tool.definition() for tool in made().tools]
    assert orjson.dumps(again) == orjson.dumps([tool.definition() for tool in toolbox.tools])


JUNK: Final[tuple[object, ...]] = (
    None, True, 0, -1, 1e308, "", "#", "#/paths", [], {}, [[]], {"$ref": "#"}, {"$ref": "#/components/schemas/Pet"},
    {"type": ["object", None, 3]}, {"allOf": [{"$ref": "#"}]}, "../../etc/passwd", "\u202e\x00", "a" * 3000,
    {"properties": [1]}, {"required": [{}]}, {"enum": {"a": 1}}, {"$ref": "http://x.example/y#/z"}, {"type": {"a": 1}},
    [{"in": "query", "name": 3}], {"oneOf": [1, None, {}]}, {"items": [{}, 1]}, {"oneOf": [{"$ref": "#/paths"}]},
)  # fmt: skip
WORDS: Final = (
    "$ref",
    "type",
    "allOf",
    "nullable",
    "in",
    "schema",
    "items",
    "properties",
    "enum",
    "{",
    "content",
    "required",
)


Spot = tuple[Any, Any]  # an object or array, and a name or index in it


def places(value: object) -> Iterator[Spot]:
    members = [*mapping(value).items(), *enumerate(array(value))]
    for key, item in members:
        yield value, key
        yield from places(item)


def mangled(document: object, random: Random) -> object:
    document = deepcopy(document)
    for _ in range(random.choice((1, 4, 30))):
        found = list(places(document))
        if not found:
            break
        holder, key = random.choice(found)
        other, place = random.choice(found)
        match random.randrange(4):
            case 0:
                holder[key] = deepcopy(random.choice(JUNK))
            case 1 if key in mapping(holder):
                holder[random.choice(WORDS)] = mapping(holder).pop(key)
            case 2:
                holder[key] = deepcopy(other[place])
            case _:
                del holder[key]
    return document


@pytest.mark.requirement("mesh.tools-are-sound")
@pytest.mark.parametrize("seed", range(40))
def test_a_mangled_description_gives_sound_tools_or_a_refusal(seed: int) -> None:
    random = Random(seed)
    document = parse(random.choice([path for path in FILES if path.stat().st_size < 60_000]).read_bytes())
    for _ in range(4):
        try:
            toolbox = make_tools(load(orjson.dumps(mangled(document, random))))
        except BadRequest:
            continue
        assert_sound(toolbox)


@pytest.mark.requirement("mesh.bombs")
def test_fifty_thousand_operations_are_read_up_to_the_limit_and_the_rest_is_named() -> None:
    paths = {f"/p{number}/{{id}}": {"get": {"operationId": "same"}} for number in range(50_000)}
    body = orjson.dumps({"openapi": "3.0.0", "paths": paths})
    started = time.process_time()
    document = load(body, limits=replace(Limits(), max_operations=5_000))
    toolbox = make_tools(document)
    assert time.process_time() - started < 60
    assert (document.declared, len(toolbox.tools)) == (50_000, 5_000)
    skipped = [finding for finding in toolbox.findings if finding.code == "operation-skipped"]
    assert len(skipped) == 45_000
    assert skipped[-1].pointer == "#/paths/~1p49999~1{id}/get"


def at(number: int) -> dict[str, object]:
    return {"$ref": f"#/components/schemas/S{number}"}


MULTIPLYING: Final[dict[str, dict[str, object]]] = {
    "parts": {f"S{n}": {"allOf": [at(n + 1)] * 2} for n in range(300)},
    "properties": {f"S{n}": {"properties": {"a": at(n + 1), "b": at(n + 1)}} for n in range(300)},
    "alternatives": {f"S{n}": {"anyOf": [at(other) for other in range(60)]} for n in range(60)},
    "dynamic": {
        f"S{n}": {"$dynamicAnchor": f"a{n}", "properties": {"x": at(n + 1), "y": {"$dynamicRef": "#a0"}}}
        for n in range(100)
    },
    "aliases": {f"S{n}": at(n + 1) for n in range(500)},
}


@pytest.mark.requirement("mesh.bombs")
@pytest.mark.parametrize("schemas", MULTIPLYING.values(), ids=MULTIPLYING.keys())
def test_schemas_that_multiply_cost_little(schemas: dict[str, object]) -> None:
    started = time.process_time()
    schema = input_of({"$ref": "#/components/schemas/S0"}, version="3.1.0", **schemas)
    assert time.process_time() - started < 20
    jsonschema_rs.validator_for(schema)


def test_hostile_names_and_paths_go_nowhere() -> None:
    paths = {
        "/a/../../admin": {"get": {}},
        "/%2e%2e/admin": {"get": {}},
        "//evil.example/x": {"get": {}},
        "https://evil.example/x": {"get": {}},
        "/line\r\nHost: evil.example": {"get": {}},
        "/back\\slash": {"get": {}},
        "/ok": {
            "get": {
                "operationId": "../../etc/passwd\u202e",
                "tags": ["../../x"],
                "parameters": [{"name": "a\r\nHost: evil.example", "in": "header", "schema": {}}],
            }
        },
    }
    toolbox = make_tools(described(paths))
    assert_sound(toolbox)
    assert [tool.operation.path for tool in toolbox.tools] == ["//evil.example/x", "/ok"]
    assert toolbox.tools[1].name == "etc_passwd"
    assert toolbox.tools[1].toolsets == ("x",)


def test_nothing_is_read_that_a_description_points_at() -> None:
    asked: list[str] = []

    def read(path: str) -> None:
        asked.append(path)

    references_ = [
        "http://169.254.169.254/latest", "file:///etc/passwd", "//evil.example/a", "../../../etc/passwd", "a/../../b",
        "%2e%2e/secret", "..%2fsecret", "C:\\secret", "\\\\host\\share", "ok.yaml",
    ]  # fmt: skip
    paths = {f"/p{number}": {"$ref": reference} for number, reference in enumerate(references_)}
    load(orjson.dumps({"openapi": "3.0.0", "paths": paths}), read=read)
    assert asked == ["ok.yaml"]
