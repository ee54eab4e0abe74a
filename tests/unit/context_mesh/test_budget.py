"""Budgets: what is published stays small and takes everything that the whole schema takes; outlines and examples."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from typing import Final

import orjson
import pytest

from context_mesh.openapi.bundle import BUDGET_BYTES, shrink, size_of
from context_mesh.openapi.limits import Limits
from context_mesh.openapi.load import load
from context_mesh.openapi.members import mapping
from context_mesh.openapi.tools import make_tools
from support.descriptions import accepts, described, tool_of

JSON: Final = "application/json"
WORDS: Final = "many words that say what this is about, at length, so that the schema is large and must be cut"


def wide(count: int, **leaf: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {
            f"property{number}": {"type": "string", "description": WORDS, **leaf} for number in range(count)
        },
    }


def answer(schema: object) -> dict[str, object]:
    return {"responses": {"200": {"description": "", "content": {JSON: {"schema": schema}}}}}


def body(schema: object, **members: object) -> dict[str, object]:
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema, **members}}}}


def deep(levels: int) -> dict[str, object]:
    schema: dict[str, object] = wide(30)
    for level in range(levels):
        schema = {
            "type": "object",
            "required": ["down"],
            "properties": {"down": schema, "side": {"type": "integer"}, f"level{level}": {"type": "null"}},
            "additionalProperties": False,
        }
    return schema


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (wide(40), {"property3": "x"}),
        (wide(200), {"property150": "x"}),
        (wide(30, enum=[f"choice{number}" for number in range(40)]), {"property3": "choice39"}),
        (deep(6), {"down": {"down": {"down": {"down": {"down": {"down": {"property1": "x"}}}}}}}),
        ({"type": "object", "properties": {"a": {"type": "array", "items": wide(60)}}}, {"a": [{"property9": "x"}]}),
        ({"type": "object", "anyOf": [wide(40), {"type": "object", "required": ["b"]}]}, {"b": 1}),
        ({"allOf": [wide(40), {"type": "object", "minProperties": 0}]}, {"property1": "x"}),
        ({**wide(40), "minProperties": 1, "additionalProperties": False}, {"property39": "x"}),
    ],
)
def test_what_is_published_is_small_and_takes_what_the_whole_takes(schema: object, value: object) -> None:
    tool = tool_of(body(schema))
    assert size_of(tool.full_schema) > BUDGET_BYTES
    assert size_of(tool.input_schema) <= BUDGET_BYTES
    given = {"body": value} if "body" in mapping(tool.full_schema["properties"]) else value
    assert accepts(tool.full_schema, given)
    assert accepts(tool.input_schema, given)


def test_a_recursive_publishedis_cut_where_it_comes_back() -> None:
    node = {
        "type": "object",
        "properties": {**mapping(wide(40)["properties"]), "next": {"$ref": "#/components/schemas/Node"}},
    }
    tool = tool_of(
        body({"type": "array", "items": {"$ref": "#/components/schemas/Node"}}), components={"schemas": {"Node": node}}
    )
    assert size_of(tool.input_schema) <= BUDGET_BYTES
    assert "$ref" not in orjson.dumps(tool.input_schema).decode()
    assert accepts(tool.input_schema, {"body": [{"next": {"next": {}}}]})


def test_what_is_required_stays_whatever_it_costs() -> None:
    names = [f"a_rather_long_name_of_a_property_{number:04}" for number in range(200)]
    schema: dict[str, object] = {
        "type": "object",
        "properties": {**{name: {"type": "string"} for name in names}, "optional": {"type": "string"}},
        "required": names,
        "additionalProperties": False,
    }
    short = shrink(schema)
    assert list(mapping(short["properties"])) == names
    assert "additionalProperties" not in short
    assert shrink({**schema, "required": []}, 200)["properties"]


def test_beyond_the_limit_of_definitions_nothing_dangles() -> None:
    schemas = {
        f"S{number}": {"type": "object", "properties": {"n": {"$ref": f"#/components/schemas/S{number + 1}"}}}
        for number in range(30)
    }
    entry = {
        "openapi": "3.1.0",
        "paths": {
            "/a": {"get": {"parameters": [{"name": "a", "in": "query", "schema": {"$ref": "#/components/schemas/S0"}}]}}
        },
        "components": {"schemas": {**schemas, "S30": {}}},
    }
    (tool,) = make_tools(load(orjson.dumps(entry), limits=Limits(max_definitions=5))).tools
    assert accepts(tool.full_schema, {"a": {"n": {"n": {"n": {"n": {"n": 1}}}}}})
    assert not accepts(tool.full_schema, {"a": {"n": {"n": {"n": {"n": 1}}}}})


def test_an_outline_is_one_level_and_open() -> None:
    tool = tool_of(
        answer(
            {
                "allOf": [{"$ref": "#/components/schemas/Base"}, {"$ref": "#/nowhere"}],
                "oneOf": [{"properties": {"b": {"$ref": "#/components/schemas/Base"}}}],
                "properties": {
                    "c": {"type": ["integer", "null"], "description": "Count. More."},
                    "d": {"oneOf": [{}, {}]},
                    "e": {"type": "string", "format": "int-or-string"},
                    "f": {"$ref": "#/nowhere"},
                    "g": {"type": "odd"},
                    "h": {"type": "string", "writeOnly": True},
                },
                "required": ["c"],
            }
        ),
        components={"schemas": {"Base": {"type": "object", "properties": {"a": {"type": "boolean"}}}}},
    )
    assert tool.output_schema == {
        "type": "object",
        "properties": {
            "c": {"type": ["number", "null"], "description": "Count."},
            "d": {},
            "e": {},
            "f": {},
            "g": {},
            "a": {"type": ["boolean", "null"]},
            "b": {"type": ["object", "null"]},
        },
    }
    assert "outputSchema" in tool.definition()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"oneOf": [{"type": "object"}, {"type": "array"}]},
        {"$ref": "#/no"},
        {},
        {"type": "object", "nullable": True},
    ],
)
def test_an_answer_that_need_not_be_an_object_promises_nothing(schema: object) -> None:
    assert tool_of(answer(schema)).output_schema is None


def test_an_outline_is_bounded() -> None:
    outline = tool_of(answer(wide(500))).output_schema
    assert outline is not None
    assert 1_000 < size_of(outline) <= 2_048
    assert tool_of(answer({"type": "object"})).output_schema == {"type": "object"}


def test_default_answers_count_where_no_success_is_declared() -> None:
    only = {"responses": {"default": {"description": "", "content": {JSON: {"schema": {"type": "object"}}}}}}
    both = {"responses": {**only["responses"], "204": {"description": ""}}}
    assert tool_of(only).output_schema == {"type": "object"}
    assert tool_of(both).output_schema is None


SIMPLE: Final = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("operation", "example"),
    [
        (body(SIMPLE, example={"a": 1}), {"a": 1}),
        (body(SIMPLE, examples={"one": {"value": {"a": 2}}}), {"a": 2}),
        (body({**SIMPLE, "example": {"a": 3}}), {"a": 3}),
        (body({**SIMPLE, "examples": [{"a": 4}]}), {"a": 4}),
        (body({"type": "array", "example": [1]}), {"body": [1]}),
        (body(SIMPLE, example={"a": "x"}), None),
        (body(SIMPLE, example={}), None),
        (body({**SIMPLE, "properties": {"a": {"type": "string"}}}, example={"a": "x" * 400}), None),
        (body(SIMPLE), None),
        (body({"$ref": "#/nowhere"}), None),
        ({}, None),
    ],
)
def test_an_example_is_shown_when_it_would_pass(operation: object, example: object) -> None:
    tool = tool_of(operation)
    assert tool.example == example
    assert ("examples" in tool.input_schema) == (example is not None)


def test_an_example_needs_all_required_arguments() -> None:
    def tool(**parameter: object) -> object:
        given = {"name": "id", "in": "path", "schema": {"type": "string"}, **parameter}
        return tool_of({"parameters": [given], **body(SIMPLE, example={"a": 1})}, path="/a/{id}").example

    assert tool(example="x") == {"id": "x", "a": 1}
    assert tool() is None


def test_every_tool_of_a_description_is_checked_once_more() -> None:
    toolbox = make_tools(described({"/a": {"get": {}, "put": body(SIMPLE)}}))
    for tool in toolbox.tools:
        assert accepts(tool.full_schema, {"a": 1}) or tool.operation.method == "GET"
        assert tool.definition()["annotations"]
