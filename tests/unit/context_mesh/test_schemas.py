"""Schemas: what descriptions write becomes JSON Schema 2020-12 that is valid, whole and ends."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

import jsonschema_rs
import orjson
import pytest

from support.descriptions import converted, input_of, tool_of

JSON = "application/json"


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        (True, {}),
        (False, {"not": {}}),
        (7, {}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": ["integer", "null"]}, {"type": ["integer", "null"]}),
        ({"type": "file"}, {"type": "string"}),
        ({"type": "any"}, {}),
        ({"type": "String", "format": "uuid"}, {"type": "string", "format": "uuid"}),
        ({"type": "datetime"}, {"type": "string", "format": "date-time"}),
        ({"type": "nonsense"}, {}),
        ({"type": "string", "format": "byte"}, {"type": "string", "contentEncoding": "base64"}),
        ({"type": "string", "format": "int-or-string"}, {"type": ["integer", "string"]}),
        ({"type": "integer", "format": "int64"}, {"type": "integer"}),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 1}),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": False}, {"type": "number", "minimum": 1}),
        (
            {"type": "number", "maximum": "5", "exclusiveMaximum": 9},
            {"type": "number", "maximum": 5, "exclusiveMaximum": 9},
        ),
        ({"type": "number", "minimum": "x", "multipleOf": 0}, {"type": "number"}),
        ({"type": "number", "maximum": 1e400}, {"type": "number"}),
        ({"type": "string", "minLength": 2.0, "maxLength": -1}, {"type": "string", "minLength": 2}),
        ({"type": "string", "minLength": 3, "maxLength": 2}, {"type": "string"}),
        ({"type": "string", "minItems": 3, "uniqueItems": True}, {"type": "string"}),
        ({"type": "array", "uniqueItems": True}, {"type": "array", "uniqueItems": True, "items": {}}),
        ({"type": "string", "pattern": "^a+$"}, {"type": "string", "pattern": "^a+$"}),
        ({"type": "string", "pattern": "("}, {"type": "string"}),
        ({"type": "string", "pattern": "[[a]"}, {"type": "string", "pattern": "[[a]"}),
        ({"type": "string", "pattern": "a" * 1001}, {"type": "string"}),
        ({"type": "string", "pattern": 5}, {"type": "string"}),
        ({"type": "string", "enum": [1, True, "a", "a"]}, {"type": "string", "enum": ["1", "true", "a"]}),
        ({"type": "integer", "enum": ["1", "x"]}, {"type": "integer", "enum": [1]}),
        ({"type": "integer", "enum": []}, {"type": "integer"}),
        ({"enum": [[1], [1], {"a": 1}]}, {"enum": [[1], {"a": 1}]}),
        ({"type": "boolean", "default": "true"}, {"type": "boolean", "default": True}),
        ({"type": "integer", "default": "x"}, {"type": "integer"}),
        ({"type": "integer", "default": 2.0}, {"type": "integer", "default": 2.0}),
        ({"type": "null", "default": None}, {"type": "null", "default": None}),
        ({"const": 3, "deprecated": True}, {"const": 3, "deprecated": True}),
        ({"title": "The title", "x-a": 1, "example": 2, "xml": {}}, {"description": "The title"}),
        (
            {"properties": {"a": True}, "required": ["a", "a", 3]},
            {"properties": {"a": {}}, "type": "object", "required": ["a"]},
        ),
        ({"properties": {"a": {"required": True}}, "required": "a"}, {"properties": {"a": {}}, "type": "object"}),
        ({"properties": {"$ref": {"type": "string"}}}, {"properties": {"$ref": {"type": "string"}}, "type": "object"}),
        ({"additionalProperties": {"type": "string"}}, {"additionalProperties": {"type": "string"}, "type": "object"}),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}),
        ({"type": "object", "additionalProperties": {}}, {"type": "object"}),
        ({"items": {"type": "string"}}, {"items": {"type": "string"}, "type": "array"}),
        ({"items": [{"type": "string"}]}, {"prefixItems": [{"type": "string"}], "type": "array"}),
        (
            {"type": "array", "prefixItems": [{}], "items": False},
            {"type": "array", "prefixItems": [{}], "items": {"not": {}}},
        ),
        ({"allOf": [{"type": "string"}]}, {"type": "string"}),
        ({"type": "object", "allOf": [{"type": "string"}]}, {"type": "object", "allOf": [{"type": "string"}]}),
        ({"allOf": [{}, {"minLength": 1}, {"minLength": 1}]}, {"minLength": 1}),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (
            {"oneOf": [{"type": "string"}], "anyOf": [{"minLength": 1}]},
            {"anyOf": [{"type": "string"}], "allOf": [{"anyOf": [{"minLength": 1}]}]},
        ),
        ({"oneOf": []}, {}),
        (
            {"not": {"type": "string"}, "if": {"const": 1}, "then": {}},
            {"not": {"type": "string"}, "if": {"const": 1}, "then": {}},
        ),
        ({"patternProperties": {"^a": {}, "(": {}}}, {"patternProperties": {"^a": {}}}),
        ({"dependentSchemas": {"a": {"minProperties": 2}}}, {"dependentSchemas": {"a": {"minProperties": 2}}}),
        ({"dependentRequired": {"a": ["b", "b", 1], "c": []}}, {"dependentRequired": {"a": ["b"]}}),
        ({"contentMediaType": "text/plain"}, {"contentMediaType": "text/plain"}),
    ],
)
def test_a_schema_becomes_valid(written: object, becomes: object) -> None:
    assert converted(written) == becomes


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ({"nullable": True}, {}),
        ({"nullable": True, "allOf": [{"minLength": 1}]}, {"anyOf": [{"minLength": 1}, {"type": "null"}]}),
        (
            {"nullable": True, "description": "d", "anyOf": [{"minLength": 1}]},
            {"description": "d", "anyOf": [{"minLength": 1}, {"type": "null"}]},
        ),
        (
            {"nullable": True, "const": 1, "description": "d"},
            {"description": "d", "anyOf": [{"const": 1}, {"type": "null"}]},
        ),
        (
            {"$ref": "#/components/schemas/Small", "description": "Mine. More."},
            {"type": "string", "description": "Mine."},
        ),
        (
            {"$ref": "#/components/schemas/Small", "nullable": True, "minLength": 4},
            {"type": ["string", "null"]},
        ),
    ],
)
def test_version_3_0_says_null_its_own_way(written: object, becomes: object) -> None:
    assert converted(written, version="3.0.3", Small={"type": "string"}) == becomes


def test_beside_a_reference_version_3_1_means_what_it_says() -> None:
    assert converted({"$ref": "#/components/schemas/S", "minLength": 4}, S={"type": "string"}) == {
        "type": "string",
        "minLength": 4,
    }
    assert converted({"$ref": "#/components/schemas/S", "minLength": 4}, S={"type": "string", "minLength": 2}) == {
        "allOf": [{"type": "string", "minLength": 2}, {"minLength": 4}]
    }


def test_a_definition_that_is_used_once_stands_where_it_is_used() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}}
    point = {"type": "object", "properties": {"x": {"type": "integer"}}}
    schema = input_of(
        {
            "type": "object",
            "properties": {
                "tree": {"$ref": "#/components/schemas/Tree"},
                "once": {"$ref": "#/components/schemas/Once", "description": "told"},
                "kept": {"$ref": "#/components/schemas/Kept", "minProperties": 1},
                "twice": {"items": {"$ref": "#/components/schemas/Point"}},
                "again": {"$ref": "#/components/schemas/Point"},
            },
        },
        Tree=tree,
        Once=point,
        Kept=point,
        Point=point,
        Unused=point,
    )
    assert list(schema["$defs"]) == ["Kept", "Point", "Tree"]  # type: ignore[call-overload]
    assert orjson.dumps(schema).count(b"told") == 1
    assert jsonschema_rs.validator_for(schema).is_valid({"a": {"tree": {"child": {"child": {}}}}})
    assert not jsonschema_rs.validator_for(schema).is_valid({"a": {"tree": {"child": {"child": 1}}}})


def test_read_only_stays_out_of_calls_and_write_only_out_of_answers() -> None:
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "readOnly": True},
            "by_reference": {"$ref": "#/components/schemas/Stamp"},
            "by_part": {"allOf": [{"$ref": "#/components/schemas/Stamp"}]},
            "gone": {"$ref": "#/nowhere"},
            "password": {"type": "string", "writeOnly": True},
        },
        "required": ["id", "password"],
    }
    content = {JSON: {"schema": {"$ref": "#/components/schemas/User"}}}
    tool = tool_of(
        {"requestBody": {"content": content}, "responses": {"200": {"description": "", "content": content}}},
        components={"schemas": {"User": schema, "Stamp": {"type": "string", "readOnly": True}}},
    )
    assert set(tool.input_schema["properties"]) == {"gone", "password"}  # type: ignore[call-overload]
    assert tool.input_schema["required"] == ["password"]
    assert tool.output_schema is not None
    assert set(tool.output_schema["properties"]) == {"id", "by_reference", "by_part", "gone"}  # type: ignore[call-overload]


def test_what_another_part_hides_is_not_required_either() -> None:
    hidden = {"properties": {"id": {"type": "string", "readOnly": True}}}
    needs = {"type": "object", "required": ["id", "name"], "properties": {"name": {"type": "string"}}}
    schema = input_of(
        {"allOf": [{"$ref": "#/components/schemas/Hidden"}, {"$ref": "#/components/schemas/Needs"}, {"$ref": "#/no"}]},
        Hidden=hidden,
        Needs=needs,
    )
    assert jsonschema_rs.validator_for(schema).is_valid({"a": {"name": "n"}})
    assert not jsonschema_rs.validator_for(schema).is_valid({"a": {}})


def test_a_discriminator_tells_alternatives_apart() -> None:
    schema = input_of(
        {
            "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
            "discriminator": {"propertyName": "kind", "mapping": {"dog": "Dog", "hound": "#/components/schemas/Dog"}},
        },
        Cat={"type": "object", "properties": {"kind": {"type": "string"}, "lives": {"type": "integer"}}},
        Dog={"type": "object", "properties": {"kind": {"type": "string"}}},
    )
    check = jsonschema_rs.validator_for(schema).is_valid
    assert "oneOf" in schema["properties"]["a"]  # type: ignore[index,call-overload,operator]
    assert check({"a": {"kind": "Cat", "lives": 9}})
    assert check({"a": {"kind": "hound"}})
    assert check({"a": {"kind": "dog"}})
    assert not check({"a": {"kind": "bird"}})
    assert not check({"a": {"kind": "Cat", "lives": "nine"}})


def test_a_discriminator_of_unnamed_alternatives_says_nothing() -> None:
    assert converted({"oneOf": [{"minLength": 1}, {"minLength": 2}], "discriminator": {"propertyName": "kind"}}) == {
        "anyOf": [{"minLength": 1}, {"minLength": 2}]
    }
