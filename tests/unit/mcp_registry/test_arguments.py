"""Argument kinds: what a policy may read of a call, from the tool's own schema."""

import pytest

from mcp_registry.arguments import argument_kinds


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer"}, "Long"),
        ({"type": "string", "format": "uri"}, "String"),
        ({"type": "boolean"}, "Bool"),
        ({"type": ["integer", "null"]}, "Long"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "String"),
        ({"oneOf": [{"type": "string"}, {"enum": ["a"]}]}, "String"),
        ({"enum": ["a", "b", None]}, "String"),
        ({"enum": [1, 2]}, "Long"),
        ({"const": True}, "Bool"),
        ({"type": "array", "items": {"type": "string"}}, "Set<String>"),
        ({"anyOf": [{"type": "array", "items": {"enum": ["a"]}}, {"type": "null"}]}, "Set<String>"),
        ({"$ref": "#/$defs/Level"}, "String"),
        ({"anyOf": [{"$ref": "#/$defs/Level"}, {"type": "null"}]}, "String"),
        ({"type": "array", "items": {"$ref": "#/$defs/Level"}}, "Set<String>"),
        ({"$ref": "#/$defs/a~1b~0c"}, "Long"),
    ],
)
def test_an_argument_of_one_kind_can_be_read(schema: object, kind: str) -> None:
    root = {
        "type": "object",
        "properties": {"x": schema},
        "$defs": {"Level": {"enum": ["low", "high"]}, "a/b~c": {"type": "integer"}},
    }
    assert argument_kinds(root) == {"x": kind}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "number"},
        {"type": "object"},
        {"type": 7},
        {"type": ["string", "integer"]},
        {"type": ["null"]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [{"type": "string"}, {}]},
        {"anyOf": "text"},
        {"anyOf": [{"anyOf": [{"type": "string"}]}]},
        {"enum": ["a", 1]},
        {"enum": [1.5]},
        {"enum": [["a"]]},
        {"const": None},
        {"type": "array"},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": False},
        {"$ref": "#/$defs/absent"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/$defs/loop"},
        {"$ref": 7, "type": "number"},
    ],
)
def test_an_argument_without_one_kind_cannot(schema: object) -> None:
    root = {"properties": {"x": schema}, "$defs": {"loop": {"anyOf": [{"$ref": "#/$defs/loop"}] * 50}}}
    assert argument_kinds(root) == {}


def test_a_chain_of_references_ends() -> None:
    defs: dict[str, object] = {f"d{n}": {"$ref": f"#/$defs/d{(n + 1) % 20}"} for n in range(20)}
    assert argument_kinds({"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": defs}) == {}


@pytest.mark.parametrize("schema", [None, True, [], {}, {"properties": []}])
def test_a_schema_without_properties_has_no_arguments(schema: object) -> None:
    assert argument_kinds(schema) == {}
