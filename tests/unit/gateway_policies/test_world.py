"""Kinds of arguments, from JSON Schemas that nobody vouches for."""

import pytest

from gateway_policies.world import argument_kinds


def test_kinds_come_from_types_and_members_are_dotted() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "s": {"type": "string"},
            "b": {"type": "boolean"},
            "l": {"type": "array", "items": {"type": "string"}},
            "m": {"type": "array", "items": {"type": "integer"}},
            "f": {"type": "number"},
            "u": {"type": ["string", "null"]},
            "o": {"type": "object", "properties": {"deep": {"type": "string"}}},
            "junk": 7,
        },
    }
    assert argument_kinds(schema) == {
        "n": "Long",
        "s": "String",
        "b": "Bool",
        "l": "Set<String>",
        "m": "Other",
        "f": "Other",
        "u": "Other",
        "o": "Record",
        "o.deep": "String",
        "junk": "Other",
    }


@pytest.mark.parametrize(
    "schema", [{"additionalProperties": True}, {"patternProperties": {}}, {"anyOf": []}, {"$ref": "#/x"}]
)
def test_a_schema_that_takes_other_names_says_so(schema: dict[str, object]) -> None:
    assert argument_kinds(schema) == {"*": "Other"}


@pytest.mark.parametrize("schema", [{}, {"additionalProperties": False}, {"properties": []}])
def test_a_schema_without_properties_has_no_arguments(schema: dict[str, object]) -> None:
    assert argument_kinds(schema) == {}


def test_members_below_the_deepest_level_are_open() -> None:
    schema: dict[str, object] = {"type": "object"}
    for _ in range(12):
        schema = {"type": "object", "properties": {"a": schema}}
    kinds = argument_kinds(schema)
    assert kinds["a.a.a.a.a.a.a.a.*"] == "Other"
    assert len(kinds) == 9
