"""Operations: paths, parameters, bodies, credentials, servers and hints, as they travel."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Mapping
from typing import Final

import orjson
import pytest

from context_mesh.openapi.load import load
from context_mesh.openapi.model import ABSENT
from support.descriptions import codes, described, only, parameter

JSON: Final = "application/json"


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
