"""Loading: every version to one model, and nothing that is wrong costs more than its own part."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import orjson
import pytest

from context_mesh.openapi.limits import Limits
from context_mesh.openapi.load import load
from gateway_policies.refusal import BadRequest
from support.descriptions import described, only, parameter

JSON: Final = "application/json"


def test_an_operation_is_read_with_all_its_parts() -> None:
    document = described(
        {
            "/pets/{id}": {
                "summary": "of the path",
                "parameters": [{"name": "id", "in": "path", "schema": {"type": "integer"}}],
                "put": {
                    "operationId": "putPet",
                    "tags": ["pets"],
                    "parameters": [{"name": "dry", "in": "query", "schema": {"type": "boolean"}, "example": True}],
                    "requestBody": {
                        "required": True,
                        "content": {JSON: {"schema": {"type": "object", "properties": {"a": {}}, "required": ["a"]}}},
                    },
                    "responses": {"200": {"description": "good", "content": {JSON: {"schema": {"type": "object"}}}}},
                },
            }
        }
    )
    operation = only(document)
    assert document.findings == ()
    assert (operation.key, operation.method, operation.path) == ("PUT /pets/{id}", "PUT", "/pets/{id}")
    assert operation.pointer == "#/paths/~1pets~1{id}/put"
    assert operation.summary == "of the path"
    assert [item.name for item in operation.parameters] == ["id", "dry"]
    assert parameter(document, "id").required
    assert parameter(document, "dry").example is True
    assert operation.body is not None
    assert operation.body.required
    assert [(item.name, item.required) for item in operation.body.media.fields] == [("a", True)]
    assert [response.status for response in operation.responses] == ["200"]


def test_version_2_is_the_same_model() -> None:
    document = load(
        orjson.dumps(
            {
                "swagger": "2.0",
                "host": "api.example.com",
                "basePath": "/v1/",
                "schemes": ["http", "https"],
                "consumes": ["application/json"],
                "securityDefinitions": {
                    "basic": {"type": "basic"},
                    "key": {"type": "apiKey", "in": "query", "name": "k"},
                },
                "security": [{"basic": []}],
                "paths": {
                    "/a": {
                        "post": {
                            "parameters": [
                                {"name": "body", "in": "body", "required": True, "schema": {"type": "object"}},
                                {"name": "k", "in": "query", "type": "string"},
                                {"name": "ids", "in": "query", "type": "array", "items": {"type": "string"}},
                                {"name": "tab", "in": "query", "type": "array", "collectionFormat": "tsv"},
                                {"name": "many", "in": "query", "type": "array", "collectionFormat": "multi"},
                            ],
                            "responses": {"200": {"description": "", "schema": {"type": "object"}}},
                        }
                    }
                },
            }
        )
    )
    operation = only(document)
    assert document.dialect == "2.0"
    assert [server.url for server in operation.servers] == ["https://api.example.com/v1", "http://api.example.com/v1"]
    assert operation.body is not None
    assert operation.body.media.name == JSON
    assert {item.name: (item.style, item.explode) for item in operation.parameters} == {
        "k": ("form", False),
        "ids": ("form", False),
        "tab": ("tabDelimited", False),
        "many": ("form", True),
    }
    assert parameter(document, "k").is_hidden
    assert [[(need.scheme.kind, need.scheme.scheme) for need in needs] for needs in operation.security] == [
        [("http", "basic")]
    ]
    assert parameter(document, "ids").schema.value == {"type": "array", "items": {"type": "string"}}


def test_a_form_of_version_2_with_a_file_is_multipart() -> None:
    fields = [
        {"name": "file", "in": "formData", "type": "file", "required": True},
        {"name": "tags", "in": "formData", "type": "array", "items": {"type": "string"}, "collectionFormat": "multi"},
        {"name": "ids", "in": "formData", "type": "array", "items": {"type": "string"}},
        {"name": "plain", "in": "formData", "type": "string"},
    ]
    document = load(
        orjson.dumps({"swagger": "2.0", "paths": {"/up": {"post": {"parameters": fields, "consumes": ["a/b"]}}}})
    )
    body = only(document).body
    assert body is not None
    assert body.media.name == "multipart/form-data"
    assert [(item.name, item.is_file, item.required) for item in body.media.fields] == [
        ("file", True, True),
        ("tags", False, False),
        ("ids", False, False),
        ("plain", False, False),
    ]
    assert [item.encoding.explode for item in body.media.fields] == [None, True, False, None]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_a_description"),
        (b"[]", "not_a_description"),
        (b'{"asyncapi": "2.0.0"}', "not_a_description"),
        (b'{"arazzo": "1.0.0"}', "not_a_description"),
        (b"{", "unreadable_description"),
        (b"a: [", "unreadable_description"),
        (b"\xff\xfe\x00", "unreadable_description"),
        (b"\xc3\x28: 1", "unreadable_description"),
    ],
)
def test_what_is_no_description_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        load(body)
    assert caught.value.code == code


def test_a_broken_file_is_refused_with_line_and_column() -> None:
    with pytest.raises(BadRequest, match=r"`a\.yaml` cannot be read: .* at line 3, column 7"):
        load(b"openapi: 3.0.0\npaths:\n  a: b: c\n", name="a.yaml")


def test_an_operation_that_cannot_be_read_costs_the_others_nothing() -> None:
    good = {"responses": {}}
    document = described(
        {
            "/good": {"get": good},
            "/bad": {"get": 7, "post": {"$ref": "#/nowhere"}},
            "/gone": {"$ref": "other.yaml#/a"},
            "/../up": {"get": good},
            "/a b": {"get": good},
            "https://elsewhere.example/x": {"get": good},
            "/" + "x" * 2001: {"get": good},
            "/none": [],
            "x-note": {"get": good},
        }
    )
    assert [operation.key for operation in document.operations] == ["GET /good"]
    assert document.declared == 7
    skipped = {finding.pointer: finding.reason for finding in document.findings if finding.severity == "error"}
    assert skipped["#/paths/~1bad/get"] == "GET /bad: the operation is no object"
    assert skipped["#/paths/~1gone"] == "`/gone`: there is no file for `other.yaml#/a`"
    assert skipped["#/paths/~1..~1up/get"] == "GET /../up: the path leaves the server's own path"
    assert len(skipped) == 8


def test_beyond_the_limit_operations_are_named_and_left_out() -> None:
    paths = {f"/p{number}": {"get": {}} for number in range(5)}
    document = load(orjson.dumps({"openapi": "3.0.0", "paths": paths}), limits=replace(Limits(), max_operations=3))
    assert len(document.operations) == 3
    assert [finding.reason for finding in document.findings] == [
        "GET /p3: the description has more than 3 operations",
        "GET /p4: the description has more than 3 operations",
    ]


def test_other_files_are_read_below_the_root_only() -> None:
    files = {
        "spec/paths/pets.yaml": b"get:\n  operationId: pets\n  parameters:\n    - $ref: ../shared.yaml#/limit\n",
        "spec/shared.yaml": b"limit: {name: limit, in: query, schema: {type: integer}}\n",
    }
    asked: list[str] = []

    def read(path: str) -> bytes | None:
        asked.append(path)
        return files.get(path)

    entry: Mapping[str, object] = {
        "openapi": "3.0.0",
        "paths": {
            "/pets": {"$ref": "./paths/pets.yaml"},
            "/out": {"$ref": "../../secret.yaml"},
            "/file": {"$ref": "file:///secret.yaml"},
            "/far": {"$ref": "https://elsewhere.example/a.yaml"},
            "/back": {"$ref": "..\\a.yaml"},
        },
    }
    document = load(orjson.dumps(entry), name="spec/openapi.json", read=read)
    assert only(document).operation_id == "pets"
    assert parameter(document, "limit").schema.file == "spec/shared.yaml"
    assert asked == ["spec/paths/pets.yaml", "spec/shared.yaml"]
    assert [finding.pointer for finding in document.findings] == [
        "#/paths/~1out",
        "#/paths/~1file",
        "#/paths/~1far",
        "#/paths/~1back",
    ]
