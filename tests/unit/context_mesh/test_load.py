"""Loading: every version to one model, and nothing that is wrong costs more than its own part."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import orjson
import pytest

from context_mesh.openapi.limits import Limits
from context_mesh.openapi.load import load
from context_mesh.openapi.model import ABSENT, Document, Operation, Parameter
from gateway_policies.refusal import BadRequest

JSON: Final = "application/json"


def described(paths: object, **members: object) -> Document:
    """Load a 3.1 description with these paths."""
    return load(orjson.dumps({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, **members}))


def only(document: Document) -> Operation:
    assert len(document.operations) == 1, document.findings
    return document.operations[0]


def codes(document: Document) -> list[str]:
    return [finding.code for finding in document.findings]


def parameter(document: Document, name: str) -> Parameter:
    return next(item for item in only(document).parameters if item.name == name)


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


def test_path_variables_and_parameters_are_made_to_agree() -> None:
    document = described(
        {
            "/{name=projects/*}/x/{+rest}/{Id}{?page,size*}": {
                "get": {
                    "parameters": [
                        {"name": "id", "in": "path", "schema": {"type": "integer"}},
                        {"name": "other", "in": "path", "schema": {}},
                    ]
                }
            }
        }
    )
    operation = only(document)
    assert operation.path == "/{name}/x/{rest}/{Id}"
    assert [(item.name, item.location, item.required, item.allow_reserved) for item in operation.parameters] == [
        ("Id", "path", True, False),
        ("name", "path", True, True),
        ("rest", "path", True, True),
        ("page", "query", False, False),
        ("size", "query", False, False),
    ]
    assert codes(document) == ["unused-parameter"]


def test_what_a_path_holds_after_its_end_is_kept_apart() -> None:
    document = described({"/?Action=Run": {"get": {}}, "/#X": {"get": {}}, "bare": {"get": {}}})
    assert [(item.path, item.query, item.fragment) for item in document.operations] == [
        ("/", "Action=Run", ""),
        ("/", "", "X"),
        ("/bare", "", ""),
    ]


def test_credentials_are_hidden_wherever_they_are_declared() -> None:
    document = described(
        {
            "/a": {
                "get": {
                    "parameters": [
                        {"name": name, "in": location, "schema": {}, "description": description}
                        for name, location, description in (
                            ("X-My-Key", "header", ""),
                            ("x-my-key", "header", ""),
                            ("Authorization", "header", ""),
                            ("api_key", "query", ""),
                            ("token", "header", "Authentication token"),
                            ("token", "query", "of the page"),
                            ("key", "query", ""),
                            ("sid", "cookie", ""),
                        )
                    ]
                }
            },
            "/keys/{api_key}": {"get": {}},
        },
        components={
            "securitySchemes": {
                "mine": {"type": "apiKey", "in": "header", "name": "X-My-Key"},
                "session": {"type": "apiKey", "in": "cookie", "name": "sid"},
            }
        },
    )
    shown = [(item.name, item.location) for op in document.operations for item in op.parameters if not item.is_hidden]
    assert shown == [("token", "query"), ("key", "query"), ("api_key", "path")]


def test_security_is_kept_as_alternatives_of_needs() -> None:
    schemes = {
        "oauth": {
            "type": "oauth2",
            "flows": {"clientCredentials": {"tokenUrl": "https://id.example/token", "scopes": {}}},
        },
        "oidc": {"type": "openIdConnect", "openIdConnectUrl": "https://id.example"},
        "odd": {"type": "magic"},
        "half": {"type": "apiKey", "in": "header"},
        "http": {"type": "http"},
        "gone": {"$ref": "#/nowhere"},
        "tls": {"type": "mutualTLS"},
    }
    document = described(
        {
            "/a": {"get": {"security": [{"oauth": ["read"], "tls": []}, {}, {"nobody": []}]}},
            "/b": {"get": {"security": []}},
            "/c": {"get": {}},
            "/d": {"get": {"security": "none"}},
        },
        security=[{"oidc": []}],
        components={"securitySchemes": schemes},
    )
    first, second, third, fourth = (operation.security for operation in document.operations)
    assert [[(need.scheme.name, need.scheme.kind, need.scopes) for need in needs] for needs in first] == [
        [("oauth", "oauth2", ("read",)), ("tls", "mutualTLS", ())],
        [],
        [("nobody", "unknown", ())],
    ]
    assert first[0][0].scheme.urls == {"tokenUrl": "https://id.example/token"}
    assert second == ((),)
    assert third[0][0].scheme.urls == {"openIdConnectUrl": "https://id.example"}
    assert fourth == ()
    assert sorted(codes(document)) == ["bad-security", "dangling-reference", *["unknown-security"] * 4]


def test_servers_are_the_nearest_ones() -> None:
    def server(name: str) -> list[object]:
        return [{"url": f"https://{name}.example"}, {"description": "no url"}, 7]

    document = described(
        {
            "/a": {"servers": server("path"), "get": {"servers": server("operation")}, "put": {}},
            "/b": {"get": {}},
        },
        servers=[{"url": "https://{region}.example", "variables": {"region": {"default": "eu", "enum": ["eu", "us"]}}}],
    )
    assert [item.servers[0].url for item in document.operations] == [
        "https://operation.example",
        "https://path.example",
        "https://{region}.example",
    ]
    assert document.servers[0].variables["region"].allowed == ("eu", "us")
    assert [item.has_own_servers for item in document.operations] == [True, True, False]


@pytest.mark.parametrize(
    ("version", "dialect", "warns"),
    [
        ({"openapi": 3.0}, "3.0", []),
        ({"openapi": "3.2.0"}, "3.1", []),
        ({"openapi": "4.0"}, "3.1", ["unknown-version"]),
        ({"swagger": 2.0}, "2.0", []),
        ({}, "3.0", ["no-version"]),
    ],
)
def test_versions(version: Mapping[str, object], dialect: str, warns: list[str]) -> None:
    document = load(orjson.dumps({**version, "paths": {"/a": {"get": {}}}}))
    assert document.dialect == dialect
    assert codes(document) == warns


def test_webhooks_are_counted_and_not_offered() -> None:
    document = load(orjson.dumps({"openapi": "3.1.0", "webhooks": {"new": {"post": {}}, "none": {}}}))
    assert document.operations == ()
    assert codes(document) == ["no-paths", "webhook"]


def test_version_3_2_has_more_methods() -> None:
    document = described(
        {
            "/a": {
                "query": {},
                "additionalOperations": {"COPY": {}, "bad name": {}},
                "wrong": {},
                "get": {"parameters": [{"in": "querystring", "content": {JSON: {"schema": {"type": "object"}}}}]},
            }
        }
    )
    assert [operation.method for operation in document.operations] == ["QUERY", "GET", "COPY"]
    whole = document.operations[1].parameters[0]
    assert (whole.location, whole.media_type, whole.name) == ("querystring", JSON, "query")
    assert codes(document) == ["not-a-method", "not-a-method"]


def test_the_form_that_is_sent_is_fixed() -> None:
    for names, chosen in (
        (["text/plain", "application/x-www-form-urlencoded", "application/json"], "application/json"),
        (["application/json-patch+json", "application/merge-patch+json"], "application/merge-patch+json"),
        (["multipart/form-data", "application/x-www-form-urlencoded"], "application/x-www-form-urlencoded"),
        (["application/xml", "application/octet-stream"], "application/octet-stream"),
        (["*/*"], "application/json"),
        (["image/*", "application/xml"], "application/xml"),
        (["application/x-ndjson", "text/plain"], "application/x-ndjson"),
    ):
        document = described({"/a": {"post": {"requestBody": {"content": {name: {"schema": {}} for name in names}}}}})
        body = only(document).body
        assert body is not None
        assert body.media.name == chosen
        assert set(body.other) == set(names) - {chosen} - {"*/*"}


def test_fields_of_a_multipart_body() -> None:
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Base"},
            {"$ref": "#/nowhere"},
            {
                "properties": {
                    "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "picture": {"type": "string", "contentMediaType": "image/png"},
                    "octets": {},
                    "token": {"type": "string", "description": "auth token"},
                }
            },
        ]
    }
    document = described(
        {
            "/a": {
                "post": {
                    "requestBody": {
                        "content": {
                            "multipart/form-data": {
                                "schema": schema,
                                "encoding": {
                                    "meta": {"contentType": JSON, "style": "deepObject", "explode": True},
                                    "octets": {"contentType": "image/png", "style": "odd"},
                                },
                            }
                        }
                    }
                }
            }
        },
        components={"schemas": {"Base": {"properties": {"meta": {"type": "object"}}, "required": ["meta"]}}},
    )
    body = only(document).body
    assert body is not None
    fields = {item.name: item for item in body.media.fields}
    assert {name: (item.is_file, item.is_many, item.is_hidden) for name, item in fields.items()} == {
        "meta": (False, False, False),
        "files": (True, True, False),
        "picture": (True, False, False),
        "octets": (True, False, False),
        "token": (False, False, True),
    }
    assert fields["meta"].required
    assert (fields["meta"].encoding.style, fields["octets"].encoding.style) == ("deepObject", "")


def test_names_of_xml_are_kept() -> None:
    schema = {
        "type": "object",
        "properties": {"id": {"xml": {"attribute": True}}, "name": {"xml": {"name": "Name"}}},
    }
    content = {"application/xml": {"schema": {"$ref": "#/components/schemas/Pet"}}}
    document = described(
        {"/a": {"post": {"requestBody": {"content": content}}}}, components={"schemas": {"Pet": schema}}
    )
    body = only(document).body
    assert body is not None
    assert body.media.xml_root == "Pet"
    assert [(item.xml_name, item.is_xml_attribute) for item in body.media.fields] == [("id", True), ("Name", False)]


def test_hints_of_every_kind() -> None:
    document = described(
        {
            "/a": {
                "x-mcp": False,
                "get": {"x-mcp": {"enabled": True, "name": "read_a", "description": "d", "title": "t"}},
                "put": {"x-speakeasy-mcp": {"disabled": True, "scopes": ["w"]}},
                "post": {"x-kong-mcp-tool-name": "make_a", "x-kong-mcp-exclude": "false", "x-agw-read-only": True},
                "patch": {},
            }
        },
        **{"x-agw-toolset": "all"},
    )
    assert [(item.hints.name, item.hints.is_excluded) for item in document.operations] == [
        ("read_a", False),
        ("", True),
        ("make_a", False),
        ("", True),
    ]
    assert {item.hints.toolset for item in document.operations} == {"all"}
    assert document.operations[2].hints.is_read_only
    assert document.operations[1].hints.scopes == ("w",)


def test_a_hostile_circle_of_references_is_a_finding() -> None:
    document = described(
        {
            "/a": {"$ref": "#/paths/~1b"},
            "/b": {"$ref": "#/paths/~1a"},
            "/c": {"get": {"parameters": [{"$ref": "#/x-a/b"}]}},
        },
        **{"x-a": {"$ref": "#/x-a/b"}},
    )
    assert [operation.key for operation in document.operations] == ["GET /c"]
    assert codes(document) == ["path-skipped", "path-skipped", "circular-reference"]


def test_an_absent_example_is_not_null() -> None:
    document = described({"/a": {"get": {"parameters": [{"name": "a", "in": "query", "example": None}]}}})
    assert parameter(document, "a").example is None
    assert repr(ABSENT) == "ABSENT"
