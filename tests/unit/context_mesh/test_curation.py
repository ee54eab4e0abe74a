"""Curation: a small file chooses, names, words and fixes; what means nothing is told and changes nothing."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

import pytest

from context_mesh.curation import Curation, curate, effect, read_curation
from context_mesh.openapi.members import mapping
from context_mesh.openapi.model import ABSENT
from context_mesh.openapi.tool import Risk, Tool
from context_mesh.openapi.tools import Toolbox, make_tools
from gateway_policies.refusal import BadRequest
from support.descriptions import accepts, described

PATHS = {
    "/pets": {
        "get": {
            "operationId": "listPets",
            "tags": ["Pets"],
            "parameters": [
                {"name": "limit", "in": "query", "required": True, "schema": {"type": "integer"}},
                {"name": "debug", "in": "query", "schema": {"type": "boolean"}},
            ],
        },
        "post": {
            "operationId": "addPet",
            "tags": ["Pets"],
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": {"type": "string"}, "tag": {"type": "string"}},
                        },
                        "example": {"name": "Rex"},
                    }
                }
            },
        },
    },
    "/pets/{id}": {"delete": {"operationId": "deletePet"}},
    "/status": {"get": {"operationId": "status"}},
}


def box() -> Toolbox:
    return make_tools(described(PATHS))


def curated(text: str) -> Toolbox:
    return curate(box(), read_curation(f"curation: 1\n{text}".encode()))


def one(text: str, name: str) -> Tool:
    return next(tool for tool in curated(text).tools if tool.name == name)


def told(text: str) -> list[str]:
    return [f"{finding.pointer}: {finding.reason}" for finding in curated(text).findings]


def test_an_empty_curation_changes_nothing() -> None:
    assert list(effect(box(), curated(""))) == []
    assert curate(box(), Curation()).findings == ()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("include: [status]", ["status"]),
        ("include: ['*pet*']\nexclude: ['DELETE *']", ["list_pets", "add_pet"]),
        ("include: ['tag:Pets', 'GET /status']", ["list_pets", "add_pet", "delete_pet", "status"]),
        ("exclude: ['* /pets*']", ["status"]),
        ("exclude: 'status'", ["list_pets", "add_pet", "delete_pet"]),
    ],
)
def test_patterns_choose_tools(text: str, names: list[str]) -> None:
    assert [tool.name for tool in curated(text).tools] == names


def test_a_tool_is_named_worded_graded_and_grouped() -> None:
    tool = one(
        "tools:\n  GET /pets:\n    {name: pets, title: Pets, description: 'All <b>pets</b>.',"
        " risk: write, toolsets: [Shop]}\n"
        "toolsets:\n  Front Desk: ['pets', 'list_*']",
        "pets",
    )
    assert (tool.title, tool.description, tool.risk) == ("Pets", "All pets.", Risk.WRITE)
    assert tool.toolsets == ("shop", "front_desk")
    assert tool.annotations.is_destructive
    read = one("tools: {add_pet: {risk: read}}", "add_pet")
    assert (read.annotations.is_read_only, read.annotations.is_idempotent) == (True, True)


def test_an_argument_is_fixed_hidden_or_described() -> None:
    tool = one("tools:\n  list_pets:\n    arguments: {limit: {fixed: 20}, debug: {hidden: true}}\n", "list_pets")
    assert mapping(tool.input_schema["properties"]) == {}
    assert "required" not in tool.input_schema
    assert not accepts(tool.full_schema, {"limit": 5})
    assert [(item.name, item.fixed) for item in tool.arguments] == [("", 20)]
    worded = one("tools: {list_pets: {arguments: {debug: {description: Says more.}}}}", "list_pets")
    assert mapping(mapping(worded.input_schema["properties"])["debug"])["description"] == "Says more."
    assert worded.input_schema["required"] == ["limit"]
    assert [item.fixed for item in worded.arguments] == [ABSENT, ABSENT]


def test_an_example_stays_only_where_it_fits() -> None:
    kept = one("tools: {add_pet: {arguments: {tag: {hidden: true}}}}", "add_pet")
    assert (kept.example, kept.input_schema["examples"]) == ({"name": "Rex"}, [{"name": "Rex"}])
    lost = one("tools: {add_pet: {arguments: {name: {fixed: Max}}}}", "add_pet")
    assert (lost.example, "examples" in lost.input_schema) == (None, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("include: [nobody, status]", "curation#/include: `nobody` means no tool"),
        ("exclude: ['[x]']", "curation#/exclude: `[x]` means no tool"),
        ("tools: {nobody: {}}", "curation#/tools/nobody: `nobody` means no tool"),
        ("tools: {status: {risk: huge}}", "curation#/tools/status: `huge` is no risk"),
        ("tools: {status: {name: list_pets}}", "is taken, or no name"),
        ("tools: {status: {name: 'Not A Name'}}", "is taken, or no name"),
        ("tools: {list_pets: {arguments: {x: {hidden: true}}}}", "there is no argument `x`"),
        ("tools: {list_pets: {arguments: {limit: {hidden: true}}}}", "`limit` is required: give it a `fixed` value"),
        ("tools: {list_pets: {arguments: {limit: {fixed: many}}}}", "the fixed value does not fit `limit`"),
        ("tools: {list_pets: {arguments: {limit: {}}}}", "an argument is fixed, hidden or described"),
    ],
)
def test_what_means_nothing_is_told_and_changes_nothing(text: str, reason: str) -> None:
    assert reason in "\n".join(told(text))
    if "nobody, status" not in text:
        assert list(effect(box(), curated(text))) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"curation: 2",
        b"curation: 1\nextra: 1",
        b"curation: 1\ntools: {a: {colour: red}}",
        b"overlay: 1.0.0",
    ],
)
def test_another_file_is_no_curation(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read_curation(body)
    assert caught.value.code == "not_a_curation"


def test_what_a_curation_changes_is_said_before_it_counts() -> None:
    after = curated(
        "exclude: [status]\ntools:\n  list_pets: {name: pets, arguments: {limit: {fixed: 1}}}\n"
        "  add_pet: {name: add_pet}\n"
    )
    assert list(effect(box(), after)) == [
        "`list_pets` is called `pets`",
        "`list_pets` limit is gone",
        "`status` is left out",
    ]


def test_a_curation_outlives_its_own_renames() -> None:
    again = make_tools(described(PATHS), names={"GET /pets": "pets"})
    text = "curation: 1\ninclude: ['list_*']\ntools: {list_pets: {name: pets, title: All}}"
    (tool,) = curate(again, read_curation(text.encode())).tools
    assert (tool.name, tool.title) == ("pets", "All")
