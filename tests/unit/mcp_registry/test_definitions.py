"""Definitions: a bad one is a finding, and costs the others nothing."""

import json
from typing import Any

import pytest
from msgspec import Raw

from mcp_registry.definitions import MAX_ITEMS, Finding, read_definitions
from mcp_registry.protocol.headers import HeaderParam

GOOD = b'{"name":"good","inputSchema":{"type":"object"}}'


def tool(**members: Any) -> bytes:
    return json.dumps({"name": "t", "inputSchema": {"type": "object"}, **members}).encode()


def test_a_definition_is_kept_as_it_came() -> None:
    raw = (
        b'{"x":1.0, "name":"log","inputSchema":{ "properties":{"n":{"type":"integer"},'
        b'"r":{"type":"string","x-mcp-header":"Region"}} },"description":null}'
    ).replace(b',"description":null', b"")
    (found,), findings = read_definitions("git", [Raw(raw)])
    assert findings == ()
    assert bytes(found.raw) == raw
    assert bytes(found.input_schema).startswith(b'{ "properties"')
    assert found.arguments == {"n": "Long", "r": "String"}
    assert found.header_params == (HeaderParam(("r",), "mcp-param-region", "string"),)
    assert found.pin.startswith("sha256:")


@pytest.mark.parametrize(
    ("raw", "finding"),
    [
        (b"[]", ("#0", "the definition is no object")),
        (b"{}", ("#0", "the definition has no name")),
        (tool(name=7), ("#0", "the definition has no name")),
        (tool(name="a\u202eb"), ("#0", "the name holds a space, a control or an invisible character")),
        (b'{"name":"a","name":"b"}', ("#0", "an object names `name` twice")),
        (tool(description="x" * 262_144), ("#0", "the definition has more than 262144 bytes")),
        (b'{"a":' * 65 + b"1" + b"}" * 65, ("#0", "the definition is nested deeper than 64 levels")),
        (b'{"name":"t"}', ("t", "the definition has no `inputSchema` object")),
        (tool(inputSchema=True), ("t", "the definition has no `inputSchema` object")),
        (tool(inputSchema={"type": "array"}), ("t", "the `inputSchema` is not an object's")),
        (tool(title=7), ("t", "`title` must be a string")),
        (tool(description=None), ("t", "`description` must be a string")),
        (tool(outputSchema=[]), ("t", "`outputSchema` must be an object")),
        (tool(annotations=[]), ("t", "`annotations` must be an object")),
        (tool(icons={}), ("t", "`icons` must be an array")),
        (tool(execution=[]), ("t", "`execution` must be an object")),
        (tool(_meta=[]), ("t", "`_meta` must be an object")),
        (
            tool(inputSchema={"x-mcp-header": "A"}),
            ("t", "x-mcp-header stands where no chain of `properties` leads"),
        ),
    ],
)
def test_a_definition_that_breaks_a_rule_is_left_out_alone(raw: bytes, finding: tuple[str, str]) -> None:
    found, findings = read_definitions("git", [Raw(raw), Raw(GOOD)])
    assert [definition.native for definition in found] == ["good"]
    assert findings == (Finding("git", *finding),)


def test_a_tool_says_whether_it_runs_as_a_task() -> None:
    said: list[Any] = [{}, *({"taskSupport": one} for one in ("optional", "required", "forbidden", "maybe", ["x"]))]
    found, findings = read_definitions("git", [Raw(tool(name=f"t{at}", execution=one)) for at, one in enumerate(said)])
    assert not findings
    supports = [one.task_support for one in found]
    assert supports == ["forbidden", "optional", "required", "forbidden", "forbidden", "forbidden"]


def test_the_first_of_equal_names_stands() -> None:
    (found,), findings = read_definitions("git", [Raw(tool(title="first")), Raw(tool(title="second"))])
    assert b"first" in bytes(found.raw)
    assert findings == (Finding("git", "t", "the name is used twice; the first one stands"),)


def test_tools_beyond_the_limit_are_left_out() -> None:
    found, findings = read_definitions("git", [Raw(GOOD)] * (MAX_ITEMS + 1))
    assert len(found) == 1
    assert findings[-1] == Finding("git", "#10000", "more than 10000 tools; the rest is left out")
