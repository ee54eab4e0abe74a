"""Arguments of a generated tool are held to the whole schema, and to nothing less when that cannot be compiled."""

from dataclasses import replace
from typing import Any

from agent_gateway.runtime.api_upstreams import check_of
from context_mesh.openapi.load import load
from context_mesh.openapi.tool import Tool
from context_mesh.openapi.tools import make_tools

API = b"""
openapi: 3.1.0
info: {title: pets, version: "1"}
servers: [{url: "https://pets.example"}]
paths:
  /pets:
    get: {operationId: list, responses: {"200": {description: ok}}}
"""


def tool(full: Any) -> Tool:
    (found,) = make_tools(load(API, name="openapi.yaml")).tools
    return replace(found, full_schema=full)


def test_a_published_schema_that_is_the_whole_is_not_checked_twice() -> None:
    (found,) = make_tools(load(API, name="openapi.yaml")).tools
    assert check_of(found.input_schema, found.full_schema) is None


def test_arguments_are_held_to_the_whole_schema() -> None:
    one = tool({"type": "object", "required": ["a"]})
    check = check_of(one.input_schema, one.full_schema)
    assert check is not None
    assert (list(check({"a": 1})), len(check({}))) == ([], 1)


def test_a_whole_schema_that_cannot_be_compiled_lets_nothing_through() -> None:
    one = tool({"type": "object", "properties": {"a": {"$ref": "https://elsewhere.example/a.json"}}})
    check = check_of(one.input_schema, one.full_schema)
    assert check is not None
    (mistake,) = check({})
    assert "not usable" in mistake.message
