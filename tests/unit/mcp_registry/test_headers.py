"""Header values and mirrored arguments: held to the SDK's own reading."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared import inbound as sdk

from mcp_registry.protocol import headers
from mcp_registry.protocol.headers import HeaderParam, agrees, decode_value, encode_value, header_params, render_params

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([1])
annotation = st.sampled_from(["A", "a", "Re-gion", "", "a b", 7])
leaf = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "boolean", "number", ["string"], None])},
    optional={"x-mcp-header": annotation, "const": st.just({"x-mcp-header": "Data"})},
)
schemas = st.recursive(
    leaf,
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["properties", "items", "allOf", "$defs", "not", "default"]), inner, max_size=2
        ).map(lambda node: {**node, **({"allOf": [node["allOf"]]} if "allOf" in node else {})})
        | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2).map(lambda inside: {"properties": inside})
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_a_header(text: str) -> None:
    encoded = encode_value(text)
    assert encoded == sdk.encode_header_value(text)
    assert decode_value(encoded) == text
    assert encoded.isascii()
    assert "\n" not in encoded


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        (None, None), ("plain", "plain"), ("=?base64?Y2Fmw6k=?=", "café"), ("=?base64??=", ""),
        ("=?base64?Y2Fmw6l=?=", None), ("=?base64?Y2Fmw6k?=", None), ("=?base64?!!?=", None),
        ("=?base64?/w==?=", None), ("=?base64?é?=", None), ("=?base64?YQ==", "=?base64?YQ=="),
    ],
)  # fmt: skip
def test_a_value_that_we_would_not_write_matches_nothing(value: str | None, decoded: str | None) -> None:
    assert decode_value(value) == decoded


@settings(max_examples=200)
@given(schema=schemas)
def test_annotations_are_valid_when_the_sdk_says_so(schema: object) -> None:
    try:
        mine = {param.path: param.header for param in header_params(schema)}
    except ValueError:
        assert sdk.find_invalid_x_mcp_header(schema) is not None
    else:
        assert sdk.find_invalid_x_mcp_header(schema) is None
        theirs = {path: f"mcp-param-{token.lower()}" for path, token in sdk.x_mcp_header_map(schema).items()}
        assert mine == theirs


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"x-mcp-header": "A"}, "stands where no chain"),
        ({"items": {"type": "string", "x-mcp-header": "A"}}, "stands where no chain"),
        ({"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]}, "stands where no chain"),
        ({"$defs": {"a": {"type": "string", "x-mcp-header": "A"}}}, "stands where no chain"),
        ({"properties": {"a": {"type": "string", "x-mcp-header": 7}}}, "no header token"),
        ({"properties": {"a": {"type": "string", "x-mcp-header": "a b"}}}, "no header token"),
        ({"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}, "needs the type"),
        ({"properties": {"a": {"type": ["string"], "x-mcp-header": "A"}}}, "needs the type"),
        (
            {
                "properties": {
                    "a": {"type": "string", "x-mcp-header": "A"},
                    "b": {"properties": {"c": {"type": "string", "x-mcp-header": "a"}}},
                }
            },
            "of `b.c` is used twice",
        ),
    ],
)
def test_an_invalid_annotation_says_why(schema: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        header_params(schema)


def test_annotations_are_found_in_the_schemas_order_and_not_in_data() -> None:
    schema: dict[str, object] = {
        "properties": {
            "z": {"type": "string", "x-mcp-header": "Z", "default": {"x-mcp-header": 1}, "allOf": [], "$defs": {}},
            "a": {"properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        },
        "allOf": {"not": "a list"},
        "$defs": ["not a map"],
        "items": True,
    }
    assert header_params(schema) == (
        HeaderParam(("z",), "mcp-param-z", "string"),
        HeaderParam(("a", "n"), "mcp-param-n", "integer"),
    )
    assert header_params(None) == ()


@settings(max_examples=150)
@given(a=scalars, n=scalars)
def test_arguments_are_mirrored_as_the_sdk_mirrors_them(a: object, n: object) -> None:
    schema = {
        "properties": {
            "a": {"type": "string", "x-mcp-header": "A"},
            "b": {"properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        }
    }
    arguments = {"a": a, "b": {"n": n}}
    theirs = sdk.mcp_param_headers(sdk.x_mcp_header_map(schema), arguments)
    assert render_params(header_params(schema), arguments) == {name.lower(): value for name, value in theirs.items()}


def test_a_step_that_is_no_object_mirrors_nothing() -> None:
    param = HeaderParam(("b", "n"), "mcp-param-n", "integer")
    assert render_params([param], {"b": [1]}) == {}
    assert render_params([param], {}) == {}
    assert render_params([param], {"b": {"n": 10**5000}}) == {}


@settings(max_examples=200)
@given(
    kind=st.sampled_from(["string", "integer", "boolean"]),
    value=st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["4", "x", "true"]),
    header=st.sampled_from(["4", "4.0", "4.5", "-0", "true", "x", "1e3"]) | st.integers().map(str),
)  # fmt: skip
def test_a_header_agrees_when_the_sdk_says_so(kind: str, value: object, header: str) -> None:
    schema = {"properties": {"a": {"type": kind, "x-mcp-header": "A"}}}
    theirs = sdk.validate_mcp_param_headers(schema, {"a": value}, {"mcp-param-a": header}) is None
    assert agrees(header_params(schema)[0], value, header) == theirs


def test_integers_agree_as_numbers_however_large() -> None:
    param = HeaderParam(("a",), "mcp-param-a", "integer")
    assert agrees(param, 10**30, "1" + "0" * 30 + ".00")
    assert agrees(param, 42.0, "42")
    assert not agrees(param, 42, "42.5")
    assert not agrees(param, 1, "1" * 5000)
    assert not agrees(param, True, "1")


def test_the_name_bearing_methods_are_the_sdks_and_the_tasks_extensions() -> None:
    extra = {"tasks/get", "tasks/update", "tasks/cancel"}
    assert {k: v for k, v in headers.NAME_BEARING.items() if k not in extra} == dict(sdk.NAME_BEARING_METHODS)
