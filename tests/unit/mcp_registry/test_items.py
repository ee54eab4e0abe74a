"""Prompts, resources and templates in the catalogue: names, collisions, toolsets, routing."""

import json
from typing import Any

import pytest
from msgspec import Raw

from mcp_registry.catalog import Rule, Toolset, UpstreamItems, View, build, list_page
from mcp_registry.definitions import Finding, read_definitions
from mcp_registry.entries import Override
from mcp_registry.protocol.lists import ItemKind


def prompt(name: str, **more: Any) -> Raw:
    return Raw(json.dumps({"name": name, **more}).encode())


def resource(uri: str, **more: Any) -> Raw:
    return Raw(json.dumps({"uri": uri, "name": "n", **more}).encode())


def template(uri: str, **more: Any) -> Raw:
    return Raw(json.dumps({"uriTemplate": uri, "name": "n", **more}).encode())


def tool(name: str, **more: Any) -> Raw:
    return Raw(json.dumps({"name": name, "inputSchema": {"type": "object"}, **more}).encode())


GIT = UpstreamItems(
    "git",
    {
        "tools": [tool("log"), tool("push")],
        "prompts": [prompt("review", arguments=[{"name": "topic"}], x=None), prompt("log")],
        "resources": [resource("git://head", x=1.0), resource("git://secret"), resource("file:///readme")],
        "resource_templates": [template("git://{ref}"), template("git://{+path}")],
    },
    rules={"prompts": [Rule("*", risk=1)], "resources": [Rule("*secret", is_hidden=True)]},
)
FILES = UpstreamItems(
    "files",
    {
        "resources": [resource("file:///readme")],
        "resource_templates": [template("git://{ref}"), template("file:///{+path}")],
    },
)
CATALOG = build([GIT, FILES], [Toolset("few", prompts=["git__re*"], resources=["git://*"], exclude=["*path*"])])
SHOWN = CATALOG.everything


def names(view: View, kind: ItemKind) -> list[str]:
    return list(view.of(kind))


def test_every_kind_has_public_names_and_the_operators_word() -> None:
    assert names(SHOWN, "prompts") == ["git__log", "git__review"]
    assert names(SHOWN, "resources") == ["file:///readme", "git://head", "gw+files+file:///readme"]
    assert names(SHOWN, "resource_templates") == [
        "file:///{+path}", "git://{+path}", "git://{ref}", "gw+files+git://{ref}"
    ]  # fmt: skip
    review = SHOWN.of("prompts")["git__review"]
    assert (review.capability.kind, review.capability.risk, review.capability.read_only) == ("prompt", 1, True)
    assert review.arguments == {"topic": "String"}
    assert SHOWN.of("resources")["git://head"].arguments == {"uri": "String"}
    assert CATALOG.find(("prompt", "git__log")) is not CATALOG.find(("tool", "git__log"))
    assert CATALOG.find(("resource", "git://{ref}")) is SHOWN.of("resource_templates")["git://{ref}"]
    assert CATALOG.find(("skill", "x")) is None
    assert [entry.capability.name for entry in CATALOG.all()][:3] == ["git__log", "git__push", "git__log"]


def test_of_two_upstreams_with_one_uri_the_first_keeps_it_and_the_other_is_told() -> None:
    told = [finding for finding in CATALOG.findings if finding.upstream == "files"]
    assert [str(finding) for finding in told] == [
        "upstream `files`: resource `file:///readme`: `git` has this URI too; here it is shown as "
        "`gw+files+file:///readme`",
        "upstream `files`: resource template `git://{ref}`: `git` has this URI too; here it is shown as "
        "`gw+files+git://{ref}`",
    ]
    assert names(CATALOG.servers["files"], "resources") == ["file:///readme"]
    assert names(build([FILES, GIT], []).everything, "resources")[-1] == "gw+git+file:///readme"


def test_a_definition_changes_in_what_names_it_alone() -> None:
    def raw(view: View, kind: ItemKind, at: int = 0) -> bytes:
        return list_page(view, kind, view.capabilities_of(kind)[at : at + 1], "legacy")[0]

    assert raw(SHOWN, "prompts", 1) == b'[{"name":"git__review","arguments":[{"name": "topic"}],"x":null}]'
    assert raw(SHOWN, "resources", 1) == b"[%b]" % bytes(GIT.definitions["resources"][0])
    assert raw(SHOWN, "resources", 2) == b'[{"uri":"gw+files+file:///readme","name":"n"}]'
    assert raw(CATALOG.servers["git"], "prompts", 1) == b"[%b]" % bytes(GIT.definitions["prompts"][0])


def test_toolsets_show_the_prompts_and_resources_that_they_name() -> None:
    few = CATALOG.toolsets["few"]
    assert names(few, "prompts") == ["git__review"]
    assert names(few, "resources") == ["git://head"]
    assert names(few, "resource_templates") == ["git://{ref}"]
    assert SHOWN.of("prompts")["git__review"].capability.toolsets == {"few"}
    assert names(build([GIT], [Toolset("plain")]).toolsets["plain"], "prompts") == []


# --- whose a URI is --------------------------------------------------------------------------


def found(view: View, uri: str) -> list[tuple[str, str, str]]:
    return [
        (one.entry.capability.upstream, one.entry.capability.native, one.uri) for one in view.router.candidates(uri)
    ]


def test_what_is_listed_is_found_by_its_uri() -> None:
    assert found(SHOWN, "git://head") == [("git", "git://head", "git://head")]
    assert found(SHOWN, "gw+files+file:///readme") == [("files", "file:///readme", "file:///readme")]
    assert found(CATALOG.servers["files"], "file:///readme") == [("files", "file:///readme", "file:///readme")]


def test_anything_else_is_found_by_the_most_literal_template_of_each_upstream() -> None:
    assert found(SHOWN, "git://main") == [("git", "git://{+path}", "git://main")]
    assert found(SHOWN, "gw+files+git://main") == [("files", "git://{ref}", "git://main")]
    assert found(SHOWN, "file:///src/x") == [("files", "file:///{+path}", "file:///src/x")]
    assert found(CATALOG.servers["git"], "git://a/b") == [("git", "git://{+path}", "git://a/b")]
    assert found(CATALOG.toolsets["few"], "git://main") == [("git", "git://{ref}", "git://main")]


@pytest.mark.parametrize(
    "uri", ["git://secret", "gw+files+file:///secret/../x", "git://a/../secret", "http://x", "git://" + "a" * 3000, ""]
)
def test_a_template_never_reaches_what_is_hidden_or_climbs(uri: str) -> None:
    assert found(SHOWN, uri) == []


def test_what_an_upstream_lists_is_not_reached_through_its_template_where_it_is_not_shown() -> None:
    catalog = build([GIT], [Toolset("wide", resources=["git://{*"])])
    assert found(catalog.toolsets["wide"], "git://other") == [("git", "git://{+path}", "git://other")]
    assert found(catalog.toolsets["wide"], "git://head") == []


# --- other names in a toolset ----------------------------------------------------------------


def renaming(**overrides: Override) -> tuple[View, list[str]]:
    catalog = build([GIT], [Toolset("t", overrides={f"git__{name}": over for name, over in overrides.items()})])
    return catalog.toolsets["t"], [finding.problem for finding in catalog.findings if "toolset" in finding.problem]


def test_a_toolset_gives_a_tool_another_name_and_description() -> None:
    view, problems = renaming(log=Override("history", "What happened."), gone=Override("x"))
    assert (list(view.entries), problems) == (["git__push", "history"], [])
    entry = view.find("history")
    assert entry is not None
    assert (entry.capability.name, view.shown_name(entry.capability)) == ("git__log", "history")
    assert view.find("git__log") is None
    page, _ = list_page(view, "tools", [entry.capability], "modern")
    assert json.loads(page) == [{"name": "history", "inputSchema": {"type": "object"}, "description": "What happened."}]
    unchanged, _ = renaming()
    assert unchanged.renamed == {}


def test_a_description_alone_keeps_the_name() -> None:
    view, _ = renaming(log=Override(description="What happened."))
    assert list(view.entries) == ["git__log", "git__push"]
    assert b"What happened." in view.entries["git__log"].legacy


@pytest.mark.parametrize(
    ("overrides", "shown"),
    [
        ({"log": Override("git__push")}, ["git__log", "git__push"]),
        ({"log": Override("same"), "push": Override("same")}, ["git__push", "same"]),
        ({"log": Override("git__push"), "push": Override("git__log")}, ["git__log", "git__push"]),
        ({"log": Override("git__push"), "push": Override("free")}, ["free", "git__push"]),
    ],
    ids=["taken", "claimed twice", "swapped", "freed"],
)
def test_names_in_a_toolset_never_meet(overrides: dict[str, Override], shown: list[str]) -> None:
    view, problems = renaming(**overrides)
    assert list(view.entries) == shown
    assert len({entry.capability.name for entry in view.entries.values()}) == 2
    assert len(problems) == 2 - len(view.renamed) - (2 - len(overrides))


def test_a_toolset_gives_a_prompt_another_name_where_no_prompt_has_it() -> None:
    up = UpstreamItems("up", {"tools": [tool("one"), tool("two")], "prompts": [prompt("one"), prompt("ask")]})
    named = {"up__one": Override("ask"), "up__ask": Override("up__one"), "up__two": Override("ask")}
    [catalog, other] = [
        build([up], [Toolset("t", prompts=("*",), overrides=overrides)])
        for overrides in (named, {"up__ask": Override("ask", "Asks.")})
    ]
    view = catalog.toolsets["t"]
    assert (list(view.entries), list(view.of("prompts"))) == (["ask", "up__two"], ["ask", "up__one"])
    assert [finding.name for finding in catalog.findings] == ["up__two"]
    [shown] = [entry for entry in other.toolsets["t"].of("prompts").values() if entry.capability.native == "ask"]
    assert json.loads(shown.modern) == {"name": "ask", "description": "Asks."}
    assert other.toolsets["t"].shown_name(shown.capability) == "ask"


# --- definitions that are none ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "raw", "finding"),
    [
        ("prompts", prompt("p", arguments={}), ("p", "`arguments` must be an array")),
        ("prompts", prompt("p", arguments=[{}]), ("p", "an argument of the prompt has no name")),
        ("prompts", prompt("p", arguments=["x"]), ("p", "an argument of the prompt has no name")),
        ("prompts", prompt("p", arguments=[{"name": "a"}] * 257), ("p", "a prompt has at most 256 arguments")),
        ("prompts", prompt("p", title=7), ("p", "`title` must be a string")),
        ("prompts", resource("x:y", name=7), ("#0", "the definition has no name")),
        ("resources", prompt("p"), ("#0", "the definition has no uri")),
        ("resources", resource("nothing"), ("#0", "the URI has no scheme")),
        ("resources", resource("x:y", name=7), ("x:y", "the definition has no name")),
        ("resources", resource("x:y", mimeType=7), ("x:y", "`mimeType` must be a string")),
        ("resource_templates", template("{+x}"), ("#0", "the URI has no scheme")),
        ("resource_templates", template("x:{"), ("x:{", "the URI template holds an expression that cannot be read")),
        ("resource_templates", resource("x:y"), ("#0", "the definition has no uriTemplate")),
    ],
)
def test_a_definition_that_breaks_a_rule_is_left_out_alone(kind: ItemKind, raw: Raw, finding: tuple[str, str]) -> None:
    good = {"prompts": prompt("good"), "resources": resource("x:good"), "resource_templates": template("x:{good}")}
    found, findings = read_definitions("git", [raw, good[kind]], kind)
    assert len(found) == 1
    assert findings == (Finding("git", *finding, kind),)


def test_a_template_that_is_also_a_resource_is_left_out() -> None:
    both = UpstreamItems("u", {"resources": [resource("x:{a}")], "resource_templates": [template("x:{a}")]})
    catalog = build([both], [])
    assert (names(catalog.everything, "resources"), names(catalog.everything, "resource_templates")) == (["x:{a}"], [])
    assert [finding.problem for finding in catalog.findings] == ["a resource has this URI"]
