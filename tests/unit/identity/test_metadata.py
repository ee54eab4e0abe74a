"""The documents of RFC 9728 and RFC 8414."""

from dataclasses import replace

import pytest

from agent_gateway.identity.metadata import Endpoints, authorization_server, well_known

HERE = Endpoints("https://gw.example", ("/mcp", "/mcp/reading"), scopes=("mcp",), issuers=("https://gw.example",))
BELOW = Endpoints("https://host.example/gw", ("/mcp",))


def test_each_endpoint_is_its_own_resource() -> None:
    assert HERE.default == "https://gw.example/mcp"
    assert HERE.metadata_url("/mcp/reading") == "https://gw.example/.well-known/oauth-protected-resource/mcp/reading"
    assert HERE.document("/mcp/reading") == {
        "resource": "https://gw.example/mcp/reading",
        "authorization_servers": ["https://gw.example"],
        "scopes_supported": ["mcp"],
        "bearer_methods_supported": ["header"],
    }


def test_the_root_document_is_that_of_the_default_endpoint() -> None:
    assert HERE.document("") == HERE.document("/mcp")


@pytest.mark.parametrize("suffix", ["/", "/mcp/", "/mcp/other", "/MCP", "mcp", "//mcp"])
def test_what_is_no_endpoint_has_no_document(suffix: str) -> None:
    assert HERE.document(suffix) is None


def test_a_gateway_below_a_path_keeps_it_behind_the_well_known_part() -> None:
    assert BELOW.metadata_url("/mcp") == "https://host.example/.well-known/oauth-protected-resource/gw/mcp"
    document = BELOW.document("/gw/mcp")
    assert document is not None
    assert document["resource"] == "https://host.example/gw/mcp"
    assert BELOW.document("/gw") == document
    assert BELOW.document("/mcp") is None


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("https://gw.example/mcp", True),
        ("https://gw.example/mcp/reading", True),
        ("https://gw.example/mcp/", False),
        ("https://gw.example", False),
        ("https://gw.example.evil/mcp", False),
        ("http://gw.example/mcp", False),
        ("", False),
    ],
)
def test_only_the_exact_url_is_a_resource(resource: str, expected: bool) -> None:
    assert HERE.has(resource) is expected


def test_a_further_resource_has_tokens_and_no_document_here() -> None:
    with_admin = replace(HERE, others=("https://admin.example",))
    assert with_admin.has("https://admin.example")
    assert not with_admin.has("https://admin.example/")
    assert with_admin.document("https://admin.example") is None


def test_a_well_known_part_goes_between_authority_and_path() -> None:
    assert well_known("https://a.example:8443/t/", "/.well-known/x") == "https://a.example:8443/.well-known/x/t"


def test_the_server_document_promises_only_what_is_there() -> None:
    document = authorization_server("https://gw.example", ["mcp"])
    assert document["grant_types_supported"] == [
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ]
    assert document["token_endpoint"] == "https://gw.example/oauth/token"
    assert document["response_types_supported"] == []
    assert "none" not in str(document)
    assert "HS256" not in str(document)
