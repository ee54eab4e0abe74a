"""References: circles end, names are found, and what leads nowhere asks for nothing."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

import jsonschema_rs
import orjson
import pytest

from context_mesh.openapi.load import load
from context_mesh.openapi.members import mapping
from context_mesh.openapi.tools import make_tools
from support.descriptions import codes, described, input_of

JSON = "application/json"


def test_a_base_that_is_one_of_its_kinds_ends() -> None:
    """A base is `oneOf` its kinds, and each kind is `allOf` its base: a validator would never come back."""
    base = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"type": "string"}, "name": {"type": "string"}},
        "oneOf": [{"$ref": "#/components/schemas/One"}, {"$ref": "#/components/schemas/Two"}],
        "discriminator": {"propertyName": "kind"},
    }
    one = {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"size": {"type": "integer"}}}]}
    two = {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"size": {"type": "string"}}}]}
    check = jsonschema_rs.validator_for(
        input_of({"$ref": "#/components/schemas/Base"}, Base=base, One=one, Two=two)
    ).is_valid
    assert check({"a": {"kind": "One", "name": "n", "size": 1}})
    assert not check({"a": {"kind": "One", "name": 3, "size": 1}})
    assert not check({"a": {"kind": "One", "size": "large"}})


@pytest.mark.parametrize(
    "schemas",
    [
        {"A": {"$ref": "#/components/schemas/A"}},
        {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}},
        {"A": {"allOf": [{"$ref": "#/components/schemas/A"}, {"minLength": 1}]}},
        {"A": {"allOf": [{"$ref": "#/components/schemas/B"}]}, "B": {"allOf": [{"$ref": "#/components/schemas/A"}]}},
        {
            "A": {"oneOf": [{"$ref": "#/components/schemas/B"}]},
            "B": {"anyOf": [{"$ref": "#/components/schemas/A"}, {}]},
        },
        {"A": {"not": {"$ref": "#/components/schemas/A"}}},
        {"A": {"if": {"$ref": "#/components/schemas/A"}, "then": {}}},
        {"A": {"dependentSchemas": {"x": {"$ref": "#/components/schemas/A"}}}},
        {
            "A": {"allOf": [{"$ref": "#/components/schemas/B"}, {"$ref": "#/components/schemas/C"}]},
            "B": {"oneOf": [{"$ref": "#/components/schemas/A"}, {"type": "string"}]},
            "C": {
                "anyOf": [{"allOf": [{"$ref": "#/components/schemas/B"}]}, {"not": {"$ref": "#/components/schemas/A"}}]
            },
        },
    ],
)
@pytest.mark.parametrize("version", ["3.0.0", "3.1.0"])
def test_a_schema_made_of_itself_ends(schemas: dict[str, object], version: str) -> None:
    schema = input_of({"$ref": "#/components/schemas/A"}, version=version, **schemas)
    check = jsonschema_rs.validator_for(schema)
    for value in ("text", 1, {"x": 1}, None, [], {"x": {"x": {}}}):
        check.is_valid({"a": value})


def test_dynamic_references_mean_the_outermost_name() -> None:
    page = {
        "$defs": {"any": {"$dynamicAnchor": "item"}},
        "type": "object",
        "properties": {"items": {"type": "array", "items": {"$dynamicRef": "#item"}}},
    }
    numbers = {
        "$ref": "#/components/schemas/Page",
        "$defs": {"own": {"$dynamicAnchor": "item", "type": "integer"}},
    }
    check = jsonschema_rs.validator_for(
        input_of({"$ref": "#/components/schemas/Numbers"}, Page=page, Numbers=numbers)
    ).is_valid
    assert check({"a": {"items": [1]}})
    assert not check({"a": {"items": ["one"]}})
    free = jsonschema_rs.validator_for(input_of({"$ref": "#/components/schemas/Page"}, Page=page)).is_valid
    assert free({"a": {"items": ["one"]}})


def test_a_tree_of_dynamic_references_is_a_tree() -> None:
    tree = {
        "$dynamicAnchor": "node",
        "type": "object",
        "properties": {"next": {"$dynamicRef": "#node"}, "size": {"type": "integer"}},
    }
    check = jsonschema_rs.validator_for(input_of({"$ref": "#/components/schemas/Tree"}, Tree=tree)).is_valid
    assert check({"a": {"next": {"next": {"size": 1}}}})
    assert not check({"a": {"next": {"next": {"size": "big"}}}})


def test_the_recursion_of_an_older_draft_is_read() -> None:
    filter_ = {
        "$recursiveAnchor": True,
        "type": "object",
        "properties": {"parts": {"type": "array", "items": {"$recursiveRef": "#"}}, "size": {"type": "integer"}},
    }
    check = jsonschema_rs.validator_for(input_of({"$ref": "#/components/schemas/Filter"}, Filter=filter_)).is_valid
    assert check({"a": {"parts": [{"parts": [{"size": 1}]}]}})
    assert not check({"a": {"parts": [{"parts": [{"size": "big"}]}]}})


def test_identified_and_anchored_schemas_are_found() -> None:
    schemas = {
        "Id": {
            "$id": "https://example.com/id",
            "type": "object",
            "properties": {"a": {"$anchor": "in", "type": "null"}},
        },
        "Anchor": {"$anchor": "here", "type": "object", "properties": {"b": {"type": "integer"}}},
    }
    for reference, value, bad in (
        ("https://example.com/id", {"a": None}, {"a": 1}),
        ("https://example.com/id#/properties/a", None, 1),
        ("https://example.com/id#in", None, 1),
        ("#here", {"b": 1}, {"b": "x"}),
    ):
        check = jsonschema_rs.validator_for(input_of({"$ref": reference}, version="3.1.0", **schemas)).is_valid
        assert check({"a": value}), reference
        assert not check({"a": bad}), reference


@pytest.mark.parametrize(
    "reference",
    [
        "#/nowhere",
        "#nobody",
        "https://elsewhere.example/s.json",
        "other.json",
        "#/components/schemas/List/7",
        "#/components/schemas/List/x",
        "#/info",
        "x" * 3000,
        "//[",
        "https://example.com/%00",
    ],
)
def test_a_reference_that_leads_nowhere_asks_for_nothing(reference: str) -> None:
    document = described(
        {"/a": {"get": {"parameters": [{"name": "a", "in": "query", "schema": {"$ref": reference}}]}}},
        components={"schemas": {"List": [1]}},
    )
    toolbox = make_tools(document)
    assert toolbox.tools[0].input_schema["properties"] in ({"a": {}}, {"a": {"description": "t"}})
    if reference != "#/info":
        assert {"dangling-reference", "remote-reference"} & {finding.code for finding in toolbox.findings}
    assert codes(document) == []


def test_names_of_definitions_depend_on_their_own_place() -> None:
    files = {"a.json": orjson.dumps({"X": {"type": "object", "properties": {"n": {"type": "null"}}}})}
    entry = {
        "openapi": "3.1.0",
        "paths": {
            "/a": {
                "post": {
                    "requestBody": {
                        "content": {
                            JSON: {
                                "schema": {
                                    "type": "object",
                                    "minProperties": 1,
                                    "properties": {
                                        "a": {"items": {"$ref": "a.json#/X"}},
                                        "b": {"$ref": "a.json#/X"},
                                        "c": {"$ref": "#/components/schemas/Bad~1name"},
                                        "d": {"$ref": "#/components/schemas/Bad~1name"},
                                        "e": {"$ref": "#/components/schemas/X"},
                                        "f": {"$ref": "#/components/schemas/X"},
                                    },
                                }
                            }
                        }
                    }
                }
            }
        },
        "components": {
            "schemas": {"Bad/name": {"type": "object", "properties": {"x": {}}}, "X": {"properties": {"y": {}}}}
        },
    }
    (tool,) = make_tools(load(orjson.dumps(entry), read=files.get)).tools
    names = list(mapping(tool.full_schema["$defs"]))
    assert [name.rpartition("_")[0] or name for name in names] == ["Bad_1name", "X", "X"]
