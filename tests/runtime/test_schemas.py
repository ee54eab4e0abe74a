"""Third-party schemas: bounded, never fetched, and unusable ones let nothing through."""

import pytest

from agent_gateway.runtime.schemas import BadSchema, NeverValid, compile_schema

NAMES = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_a_schema_tells_where_arguments_break_it_without_quoting_them() -> None:
    validator = compile_schema(NAMES)
    assert validator.is_valid({"n": 10**30})
    (mistake,) = validator.iter_errors({"n": "s3cret-value"})
    assert mistake.instance_path == ["n"]
    assert "s3cret" not in mistake.message


@pytest.mark.parametrize(
    "reference", ["http://127.0.0.1:9/schema.json", "https://example.com/x", "file:///etc/passwd", "urn:x:y"]
)
def test_a_remote_reference_is_never_fetched(reference: str) -> None:
    with pytest.raises(BadSchema):
        compile_schema({"type": "object", "properties": {"a": {"$ref": reference}}})


@pytest.mark.parametrize("schema", [[], "x", None, True, {"type": "no-such-type"}, {"properties": 7}])
def test_what_is_no_schema_is_refused(schema: object) -> None:
    with pytest.raises(BadSchema):
        compile_schema(schema)


def test_a_schema_too_deep_is_refused() -> None:
    deep: dict[str, object] = {"type": "object"}
    for _ in range(100):
        deep = {"type": "object", "properties": {"a": deep}}
    with pytest.raises(BadSchema):
        compile_schema(deep)


def test_a_schema_too_wide_is_refused() -> None:
    with pytest.raises(BadSchema):
        compile_schema({"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(20_000)}})


def test_a_huge_pattern_is_refused() -> None:
    with pytest.raises(BadSchema):
        compile_schema({"type": "object", "properties": {"a": {"pattern": "a" * 3000}}})


def test_a_cyclic_reference_inside_the_schema_is_fine() -> None:
    tree: dict[str, object] = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}}
    validator = compile_schema(tree)
    leaves: list[object] = []
    assert validator.is_valid({"kids": [{"kids": leaves}]})
    assert not validator.is_valid({"kids": [{"kids": 1}]})


def test_nothing_fits_a_schema_that_could_not_be_compiled() -> None:
    never = NeverValid("it is no object")
    assert not never.is_valid({})
    (mistake,) = never.iter_errors({})
    assert "it is no object" in mistake.message
