"""The catalogue: public names, the operator's word, views and lists."""

import json
from typing import Any

import pytest
from mcp_types.methods import validate_server_result
from msgspec import Raw

from gateway_policies.call import Capability
from mcp_registry.catalog import (
    Catalog,
    Rule,
    Toolset,
    UpstreamItems,
    assemble,
    build,
    list_page,
    read_upstream,
)
from mcp_registry.protocol.versions import Era


def tool(name: str, **members: Any) -> Raw:
    return Raw(json.dumps({"name": name, "inputSchema": {"type": "object"}, **members}).encode())


GIT = UpstreamItems(
    "git",
    {"tools": [tool("log", outputSchema={"type": "array"}), tool("push", x=1.0), tool("gc")]},
    tags=frozenset({"code"}),
    rules={
        "tools": [
            Rule("*", risk=3, read_only=True, price_micros=100),
            Rule("p*", tags=frozenset({"write"}), risk=9, read_only=False),
            Rule("gc", is_hidden=True),
        ]
    },
)
TIME = UpstreamItems("time", {"tools": [tool("now"), tool("bad name")]})
TOOLSETS = [
    Toolset("default"),
    Toolset("reading", include=["git__log", "time__*"]),
    Toolset("safe", exclude=["*__push"]),
    Toolset("empty", include=[]),
]
CATALOG = build([TIME, GIT], TOOLSETS)


def names(raw: bytes) -> list[str]:
    return [shown["name"] for shown in json.loads(raw)]


def test_every_tool_has_its_public_name_and_the_catalogue_is_sorted_by_it() -> None:
    assert list(CATALOG.entries) == ["git__log", "git__push", "time__now"]


def test_the_operator_says_what_a_tool_is() -> None:
    push = CATALOG.entries["git__push"].capability
    assert push == Capability(
        name="git__push",
        native="push",
        upstream="git",
        tags=frozenset({"code", "write"}),
        risk=9,
        read_only=False,
        price_micros=100,
        toolsets=frozenset({"default"}),
        pin=push.pin,
    )
    assert push.pin == CATALOG.entries["git__push"].definition.pin
    log = CATALOG.entries["git__log"].capability
    assert (log.risk, log.read_only, log.tags) == (3, True, frozenset({"code"}))


def test_a_tool_that_nobody_spoke_of_has_the_cautious_defaults() -> None:
    now = CATALOG.entries["time__now"].capability
    assert (now.risk, now.read_only, now.price_micros, now.tags) == (5, False, 0, frozenset())


def test_the_upstreams_own_hints_decide_nothing() -> None:
    catalog = build([UpstreamItems("u", {"tools": [tool("rm", annotations={"readOnlyHint": True})]})], [])
    assert catalog.entries["u__rm"].capability.read_only is False


def test_a_hidden_tool_is_nowhere_unless_a_later_rule_shows_it() -> None:
    assert CATALOG.servers["git"].find("gc") is None
    shown = UpstreamItems(
        "git", {"tools": [tool("gc")]}, rules={"tools": [Rule("*", is_hidden=True), Rule("gc", is_hidden=False)]}
    )
    assert list(build([shown], []).entries) == ["git__gc"]


def test_what_is_wrong_with_a_definition_is_a_finding_of_its_upstream() -> None:
    assert [(finding.upstream, finding.name) for finding in CATALOG.findings] == [("time", "#1")]


def test_toolsets_hold_what_they_include_and_do_not_exclude() -> None:
    held = {name: list(view.entries) for name, view in CATALOG.toolsets.items()}
    assert held == {
        "default": ["git__log", "git__push", "time__now"],
        "reading": ["git__log", "time__now"],
        "safe": ["git__log", "time__now"],
        "empty": [],
    }
    assert CATALOG.entries["git__log"].capability.toolsets == {"default", "reading", "safe"}


def test_an_endpoint_of_one_upstream_shows_native_names() -> None:
    view = CATALOG.servers["git"]
    assert (view.is_native, list(view.entries)) == (True, ["log", "push"])
    push = view.find("push")
    assert push is not None
    assert push.capability.name == "git__push"
    assert view.shown_name(push.capability) == "push"
    assert view.find("git__push") is None
    assert CATALOG.toolsets["default"].shown_name(push.capability) == "git__push"


def test_an_upstream_without_tools_still_has_its_endpoint() -> None:
    assert dict(build([UpstreamItems("idle", {})], []).servers["idle"].entries) == {}


def test_another_upstream_renames_nothing_and_moves_no_pin() -> None:
    alone = build([GIT], TOOLSETS)
    for name, entry in alone.entries.items():
        assert CATALOG.entries[name] == entry


def test_a_part_is_read_once_and_assembled_again() -> None:
    part = read_upstream(GIT)
    catalog = assemble([part], [])
    assert list(catalog.entries.values()) == list(part.entries)


def test_an_empty_catalogue_is_a_catalogue() -> None:
    assert build([], []) == Catalog()


@pytest.mark.parametrize("change", [lambda: CATALOG.entries, lambda: CATALOG.toolsets["default"].entries])
def test_a_catalogue_does_not_change(change: Any) -> None:
    with pytest.raises(TypeError):
        change()["x"] = None


# --- listing -------------------------------------------------------------------------------


def test_a_list_holds_what_is_visible_in_the_order_given() -> None:
    view = CATALOG.toolsets["default"]
    raw, following = list_page(view, "tools", view.capabilities, "modern")
    assert (names(raw), following) == (["git__log", "git__push", "time__now"], None)
    assert names(list_page(view, "tools", view.capabilities[1:2], "modern")[0]) == ["git__push"]
    assert list_page(view, "tools", [], "modern") == (b"[]", None)


def test_a_list_leaves_out_what_its_endpoint_does_not_hold() -> None:
    everything = CATALOG.toolsets["default"].capabilities
    assert names(list_page(CATALOG.toolsets["reading"], "tools", everything, "modern")[0]) == ["git__log", "time__now"]


def test_a_definition_changes_in_its_name_alone() -> None:
    view = CATALOG.toolsets["default"]
    raw, _ = list_page(view, "tools", [CATALOG.entries["git__push"].capability], "modern")
    assert raw == b'[{"name":"git__push","inputSchema":{"type": "object"},"x":1.0}]'
    raw, _ = list_page(CATALOG.servers["git"], "tools", [CATALOG.entries["git__push"].capability], "modern")
    assert raw == b"[%b]" % bytes(GIT.definitions["tools"][1])


@pytest.mark.parametrize("route", ["toolset", "server"])
@pytest.mark.parametrize(("era", "version"), [("modern", "2026-07-28"), ("legacy", "2025-11-25")])
def test_a_list_is_valid_to_the_sdk_in_either_era(route: str, era: Era, version: str) -> None:
    view = CATALOG.toolsets["default"] if route == "toolset" else CATALOG.servers["git"]
    raw, _ = list_page(view, "tools", view.capabilities, era)
    result: dict[str, Any] = {"tools": json.loads(raw), "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    validate_server_result("tools/list", version, result)
    assert ("outputSchema" in result["tools"][0]) == (era == "modern")


def test_pages_join_to_the_whole_list() -> None:
    view = CATALOG.toolsets["default"]
    offset: int | None = 0
    seen: list[str] = []
    sizes: list[int] = []
    while offset is not None:
        raw, offset = list_page(view, "tools", view.capabilities, "legacy", offset=offset, page=2)
        seen += names(raw)
        sizes.append(len(names(raw)))
    assert (seen, sizes) == (list(view.entries), [2, 1])
    assert list_page(view, "tools", view.capabilities, "legacy", offset=99) == (b"[]", None)


def test_a_tool_that_must_be_a_task_may_be_one_to_legacy_readers() -> None:
    made = tool("t", execution={"taskSupport": "required"})
    entry = build([UpstreamItems("u", {"tools": [made]})], []).entries["u__t"]
    assert json.loads(entry.legacy)["execution"] == {"taskSupport": "optional"}
    assert entry.native_modern == bytes(made)
    assert entry.definition.task_support == "required"


def test_a_tool_gives_the_guard_and_the_policies_what_they_need() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}}
    entry = build([UpstreamItems("u", {"tools": [tool("t", inputSchema=schema)]})], []).entries["u__t"]
    assert json.loads(bytes(entry.input_schema)) == schema
    assert entry.arguments == {"n": "Long"}
    assert [param.header for param in entry.header_params] == ["mcp-param-n"]
