"""Odd descriptions: each oddity that real ones have is read for what it must mean, or told."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from dataclasses import replace
from typing import Final

import orjson
import pytest

from context_mesh.curation import is_overlay
from context_mesh.openapi.examples import is_fit
from context_mesh.openapi.files import Files
from context_mesh.openapi.keywords import fits
from context_mesh.openapi.limits import Limits
from context_mesh.openapi.load import load
from context_mesh.openapi.members import mapping
from context_mesh.openapi.model import Document, MediaType, Operation
from context_mesh.openapi.tools import make_tools
from context_mesh.openapi.unions import branches
from support.descriptions import accepts, codes, converted, described, input_of, only, parameter, tool_of

JSON: Final = "application/json"


def old(paths: object, **members: object) -> Document:
    return load(orjson.dumps({"swagger": "2.0", "paths": paths, **members}))


def body_of(operation: Operation) -> MediaType:
    assert operation.body is not None
    return operation.body.media


def test_a_digest_is_of_all_files() -> None:
    def digest(shared: bytes) -> str:
        entry = {"openapi": "3.0.0", "paths": {"/a": {"get": {"parameters": [{"$ref": "b.yaml#/p"}]}}}}
        return load(orjson.dumps(entry), read={"b.yaml": shared}.get).digest

    assert digest(b"p: {name: a, in: query}").startswith("sha256:")
    assert digest(b"p: {name: a, in: query}") != digest(b"p: {name: b, in: query}")


def test_a_body_beside_a_form_is_the_one_that_is_sent() -> None:
    parameters = [{"name": "b", "in": "body"}, {"name": "f", "in": "formData", "type": "string"}]
    document = old({"/a": {"post": {"parameters": parameters, "consumes": ["multipart/form-data", "text/plain"]}}})
    assert body_of(only(document)).name == "text/plain"
    assert codes(document) == ["two-bodies"]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ({"requestBody": {"$ref": "#/nowhere"}}, "dangling-reference"),
        ({"requestBody": {"content": {}}}, "empty-body"),
        ({"requestBody": {"content": {JSON: {"$ref": "#/nowhere"}}}}, "dangling-reference"),
        ({"responses": {"2000": {}, "x-note": {}}}, "bad-status"),
        ({"responses": {"200": {"$ref": "#/nowhere"}}}, "dangling-reference"),
        ({"parameters": [{"$ref": "#/nowhere"}]}, "dangling-reference"),
        ({"parameters": [{"in": "query"}]}, "bad-parameter"),
        ({"parameters": [{"name": "a", "in": "elsewhere"}]}, "bad-parameter"),
        ({"parameters": [{"name": "a", "in": "query", "style": "label", "schema": {}}]}, "bad-style"),
    ],
)
def test_a_part_that_cannot_be_read_is_told(operation: object, code: str) -> None:
    document = described({"/a": {"post": operation}})
    assert only(document).body is None
    assert code in codes(document)


def test_paths_that_lead_nowhere_are_no_paths() -> None:
    document = load(orjson.dumps({"openapi": "3.1.0", "paths": {"$ref": "gone.yaml"}}))
    assert codes(document) == ["dangling-reference", "no-paths"]


def test_what_stands_beside_the_reference_of_a_path_counts() -> None:
    document = described(
        {"/a": {"$ref": "#/components/pathItems/P", "summary": "mine"}}, components={"pathItems": {"P": {"get": {}}}}
    )
    assert only(document).summary == "mine"


def test_streams_of_items_are_known() -> None:
    content = {"application/json": {"itemSchema": {"type": "integer"}}}
    document = described({"/a": {"get": {"responses": {"200": {"content": content}}}}})
    (media,) = only(document).responses[0].media
    assert (media.is_stream, media.schema.value) == (True, {"type": "integer"})


def test_relative_and_missing_hosts_of_version_2() -> None:
    assert [server.url for server in old({}, basePath="v1/").servers] == ["/v1"]
    assert [server.url for server in old({}, host="h.example").servers] == ["//h.example"]
    assert old({}).servers == ()


def test_variables_in_the_query_of_a_path_are_parameters() -> None:
    document = described({"/a?fixed=1&q={q}&{odd}": {"get": {}}})
    assert (only(document).query, [item.name for item in only(document).parameters]) == ("fixed=1", ["q"])


def test_a_parameter_of_version_2_may_be_null() -> None:
    document = old(
        {"/a": {"get": {"parameters": [{"name": "a", "in": "query", "type": "string", "x-nullable": True}]}}}
    )
    assert parameter(document, "a").schema.value == {"type": "string", "x-nullable": True}


def test_findings_are_bounded_and_each_is_told_once() -> None:
    parameters = [{"in": "query"}, {"in": "query"}, {"in": "query"}]
    entry = {"openapi": "3.0.0", "paths": {"/a": {"get": {"parameters": parameters}}}}
    document = load(orjson.dumps(entry), limits=replace(Limits(), max_findings=1))
    assert [finding.reason for finding in document.findings] == [
        "a parameter without a name was left out",
        "there are 2 more findings",
    ]
    twice = {"/a": {"$ref": "#/components/pathItems/P"}, "/b": {"$ref": "#/components/pathItems/P"}}
    document = described(twice, components={"pathItems": {"P": {"get": {"parameters": [{"in": "query"}]}}}})
    assert codes(document) == ["bad-parameter"]


def test_a_title_is_told_where_the_description_does_not_begin_with_it() -> None:
    assert tool_of({"x-agw-title": "Short", "summary": "Long words"}).definition()["title"] == "Short"
    assert "title" not in tool_of({"summary": "Long words"}).definition()


def test_properties_may_be_one_reference() -> None:
    assert converted({"properties": {"$ref": "#/components/schemas/Map"}}, Map={"a": {"type": "string"}}) == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
    }
    assert converted({"properties": {"$ref": "#/nowhere"}}) == {}


def test_references_around_a_circle_that_dangle_are_left_out() -> None:
    schema = input_of(
        {"$ref": "#/components/schemas/A"},
        A={"allOf": [{"$ref": "#/nowhere"}, {"$ref": "#/components/schemas/A"}, {"type": "object"}]},
    )
    assert accepts(schema, {"a": {}})


def test_a_recursion_that_starts_in_no_named_schema_starts_at_its_own() -> None:
    schema = {"type": "object", "properties": {"next": {"$recursiveRef": "#"}, "n": {"type": "integer"}}}
    whole = input_of(schema)
    assert accepts(whole, {"a": {"next": {}}})
    named = input_of({"$ref": "#/components/parameters/P/schema"})
    assert named["properties"] == {"a": {}}


def test_a_discriminator_of_a_plain_object_and_of_a_name_used_twice() -> None:
    schema = {
        "oneOf": [{"$ref": "#/components/schemas/A"}, {"minLength": 1}],
        "discriminator": {"propertyName": "k", "mapping": {"a": "A", "b": "#/components/schemas/A", "c": "A"}},
    }
    whole = input_of(schema, A={"type": "object", "additionalProperties": {"type": "string"}})
    assert accepts(whole, {"a": {"k": "b"}})
    small = converted(
        {"oneOf": [{"$ref": "#/components/schemas/S"}], "discriminator": {"propertyName": "k"}}, S={"type": "object"}
    )
    assert small == {"oneOf": [{"type": "object", "properties": {"k": {"const": "S"}}, "required": ["k"]}]}
    choice: dict[str, object] = {"type": "object", "required": ["z"]}
    written = {"discriminator": {"propertyName": "k"}}
    told = branches(written, [{"$ref": "#/components/schemas/S"}], [choice], is_one=True)
    own: dict[str, object] = {"properties": {"k": {"const": "S"}}, "required": ["k"]}
    assert told == ("oneOf", [{"allOf": [choice], **own}])


def test_beyond_the_limit_of_variants_dynamic_names_mean_the_nearest() -> None:
    page = {"$defs": {"any": {"$dynamicAnchor": "i"}}, "properties": {"items": {"items": {"$dynamicRef": "#i"}}}}
    numbers = {"$ref": "#/components/schemas/Page", "$defs": {"own": {"$dynamicAnchor": "i", "type": "integer"}}}
    entry = {
        "openapi": "3.1.0",
        "paths": {
            "/a": {"get": {"parameters": [{"name": "a", "in": "query", "schema": {"$ref": "#/components/schemas/N"}}]}}
        },
        "components": {"schemas": {"Page": page, "N": numbers}},
    }
    (tool,) = make_tools(load(orjson.dumps(entry), limits=replace(Limits(), max_variants=0))).tools
    assert accepts(tool.full_schema, {"a": {"items": ["text"]}})


def test_an_answer_that_holds_itself_has_an_outline() -> None:
    answer = {"responses": {"200": {"content": {JSON: {"schema": {"$ref": "#/components/schemas/A"}}}}}}
    schema = {"type": "object", "allOf": [{"$ref": "#/components/schemas/A"}], "properties": {"a": {}}}
    tool = tool_of(answer, components={"schemas": {"A": schema}})
    assert tool.output_schema == {"type": "object", "properties": {"a": {}}}
    assert tool.answer_fields == ("a",)


def test_a_very_wide_schema_is_given_up_early() -> None:
    properties = {
        f"p{number}": {"type": "object", "description": "d" * 50, "properties": {"x": {}}} for number in range(900)
    }
    schema = {"type": "object", "required": ["p0"], "minProperties": 1, "properties": properties}
    tool = tool_of({"requestBody": {"content": {JSON: {"schema": schema}}}})
    assert len(orjson.dumps(tool.input_schema)) < 4096
    assert accepts(tool.input_schema, {"body": {"p0": {}, "p899": {}}})


def test_a_flat_body_with_a_part_that_leads_nowhere_is_still_flat() -> None:
    schema = {"properties": {"a": {}}, "allOf": [{"$ref": "#/nowhere"}]}
    tool = tool_of({"requestBody": {"content": {JSON: {"schema": schema}}}})
    assert set(mapping(tool.input_schema["properties"])) == {"a"}


def test_a_suffix_grows_while_it_is_taken() -> None:
    first = make_tools(
        described({"/a": {"get": {"operationId": "same"}}, "/b": {"get": {"operationId": "same"}}})
    ).tools[1]
    assert first.name.startswith("same_")
    taken = {"GET /c": first.name}
    paths = {f"/{letter}": {"get": {"operationId": "same"}} for letter in "abc"}
    names = {tool.operation.key: tool.name for tool in make_tools(described(paths), names=taken).tools}
    assert len(names["GET /b"]) == len(first.name) + 1


def test_what_is_no_json_fits_nothing() -> None:
    assert not is_fit({"a": object()}, {})
    assert fits(1.0, ["integer"])
    assert not fits(True, ["integer"])
    assert is_overlay(b"overlay: 1.0.0")


@pytest.mark.parametrize(
    "reference",
    ["#a/b", "big.yaml", "bad.yaml", "more.yaml", "list.yaml#/99999999999", "list.yaml#/1", "list.yaml#a", "\0.yaml"],
)
def test_references_to_other_files_that_cannot_be_followed(reference: str) -> None:
    files = {"big.yaml": b"x" * 300, "bad.yaml": b"a: [", "list.yaml": b"[0]", "more.yaml": None}
    limits = replace(Limits(), max_bytes=250)
    entry = {"openapi": "3.0.0", "paths": {"/a": {"$ref": reference}}}
    document = load(orjson.dumps(entry), read=files.get, limits=limits)
    assert document.operations == ()
    assert document.declared == 0


def test_files_are_counted_and_broken_ones_are_read_once() -> None:
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        return b"a: [" if path == "bad.yaml" else b"get: {}"

    paths = {
        "/a": {"$ref": "bad.yaml"},
        "/b": {"$ref": "bad.yaml#"},
        "/c": {"$ref": "one.yaml"},
        "/d": {"$ref": "two.yaml"},
    }
    document = load(
        orjson.dumps({"openapi": "3.0.0", "paths": paths}), read=read, limits=replace(Limits(), max_files=3)
    )
    assert [operation.path for operation in document.operations] == ["/c"]
    assert asked == ["bad.yaml", "one.yaml"]


def test_a_pointer_goes_through_references_and_into_lists() -> None:
    entry = {
        "a": {"$ref": "#/b"},
        "b": {"list": [{"x": 1}]},
        "c": {"$id": "https://h.example/c", "$defs": {"d": {"$anchor": "d"}}},
    }
    files = Files(orjson.dumps({"$self": "https://h.example/", **entry}))
    assert files.resolve("#/a/list/0/x", "").value == 1
    assert files.resolve("#", "").file == ""
    assert files.resolve("c#/$defs/d", "").pointer == "/c/$defs/d"
    assert files.resolve("https://h.example/c#d", "").pointer == "/c/$defs/d"
    assert files.resolve("https://h.example/", "").pointer == ""
    with pytest.raises(Exception, match="nothing remote is read"):
        files.resolve("https://h.example/c#nobody", "")


def test_identified_schemas_of_other_files_are_found() -> None:
    other = b'{"$id": "https://h.example/s", "type": "null", "list": [{"$id": "http://["}]}'
    files = Files(b'{"x": {"$ref": "o.json"}}', read={"o.json": other}.get)
    assert mapping(files.resolve("o.json", "").value)["type"] == "null"
    assert files.resolve("https://h.example/s", "").file == "o.json"


def test_names_that_collide_again_and_again_are_numbered() -> None:
    names = ["a[]", "a{}", "a()", "a<>"]
    tool = tool_of({"parameters": [{"name": name, "in": "query", "schema": {}} for name in names]})
    assert list(mapping(tool.input_schema["properties"])) == ["a", "a_query", "a_query_2", "a_lt_gt"]


def test_many_described_parameters_are_told_in_few_words() -> None:
    words = "what this parameter is about, in more words than there is room for in the list of tools"
    parameters = [
        {"name": f"parameter_{number}", "in": "query", "description": words, "schema": {}} for number in range(150)
    ]
    tool = tool_of({"parameters": parameters})
    shown = mapping(tool.input_schema["properties"])
    assert 10 < len(shown) < 150
    assert len(str(mapping(shown["parameter_0"])["description"])) <= 60
    assert accepts(tool.input_schema, {"parameter_149": 1})
    needed = tool_of({"parameters": [{**parameter, "required": True} for parameter in parameters]})
    assert len(mapping(needed.input_schema["properties"])) == 150


def test_every_file_that_was_read_is_known() -> None:
    files = Files(b"{}", read={"a.yaml": b"x: 1"}.get)
    assert files.resolve("a.yaml#/x", "").value == 1
    with pytest.raises(Exception, match="there is no file"):
        files.resolve("b.yaml", "")
    assert files.read == {"": {}, "a.yaml": {"x": 1}}
    with pytest.raises(Exception, match="no JSON pointer"):
        files.at("", "x")


def test_a_body_may_have_one_part_twice_and_more_fields_than_are_kept() -> None:
    many = {"type": "object", "properties": {f"p{number}": {} for number in range(2_100)}}
    whole = {"allOf": [{"$ref": "#/components/schemas/M"}, {"$ref": "#/components/schemas/M"}]}
    document = described(
        {"/a": {"post": {"requestBody": {"content": {JSON: {"schema": whole}}}}}}, components={"schemas": {"M": many}}
    )
    assert len(body_of(only(document)).fields) == 2_000


def test_a_long_name_is_cut_at_a_word() -> None:
    (tool,) = make_tools(described({"/a": {"get": {"operationId": "list_all_the_" + "many_words_" * 9}}})).tools
    assert tool.name.rpartition("_")[0] == "list_all_the_many_words_many_words_many"
    assert len(tool.name) <= 50


def test_numbers_that_are_none_are_dropped() -> None:
    assert converted({"type": "number", "multipleOf": "0.5"}) == {"type": "number", "multipleOf": 0.5}
    assert converted({"type": "string", "minLength": True}) == {"type": "string"}


def test_circles_are_looked_for_through_every_keyword() -> None:
    one = {"allOf": [{"$ref": "#/components/schemas/B"}, {"$ref": "#/nowhere"}]}
    two = {"dependentSchemas": {"x": {"$ref": "#/components/schemas/A"}}, "type": "object"}
    whole = input_of({"$ref": "#/components/schemas/A"}, A=one, B=two)
    assert accepts(whole, {"a": {"x": 1}})
