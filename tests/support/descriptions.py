"""Small OpenAPI descriptions for tests, and what they were read as."""

from collections.abc import Mapping

import jsonschema_rs
import orjson

from context_mesh.openapi.load import load
from context_mesh.openapi.members import mapping
from context_mesh.openapi.model import Document, Operation, Parameter
from context_mesh.openapi.tool import Tool
from context_mesh.openapi.tools import make_tools


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


def tool_of(operation: object, *, path: str = "/a", method: str = "post", **members: object) -> Tool:
    """Return the tool of a description with one operation."""
    tools = make_tools(described({path: {method: operation}}, **members)).tools
    assert len(tools) == 1
    return tools[0]


def input_of(schema: object, *, version: str = "3.1.0", **schemas: object) -> dict[str, object]:
    """Return the full input schema of a tool whose parameter `a` has this schema, as JSON gives it back."""
    entry = {
        "openapi": version,
        "paths": {"/a": {"get": {"parameters": [{"name": "a", "in": "query", "schema": schema}]}}},
        "components": {"schemas": schemas},
    }
    (tool,) = make_tools(load(orjson.dumps(entry))).tools
    return orjson.loads(orjson.dumps(tool.full_schema))


def converted(schema: object, *, version: str = "3.1.0", **schemas: object) -> object:
    """Return what a schema becomes, and its definitions are checked to stand."""
    whole = input_of(schema, version=version, **schemas)
    jsonschema_rs.validator_for(whole)
    return mapping(whole["properties"])["a"]


def accepts(schema: Mapping[str, object], value: object) -> bool:
    """Say whether a value fits a schema, by the engine that checks calls."""
    return jsonschema_rs.validator_for(dict(schema)).is_valid(value)
