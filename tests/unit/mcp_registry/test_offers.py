"""What an endpoint offers: its upstreams' capabilities, as far as they are served."""

from typing import Any

import msgspec
from msgspec import Raw

from mcp_registry.protocol.offers import MAX_EXTENSIONS, join_capabilities
from mcp_registry.protocol.tasks import EXTENSION
from mcp_registry.protocol.versions import Era

EVERYTHING = frozenset(
    {"resources/subscribe", "subscriptions/listen", "logging/setLevel", "tasks/update", "tasks/result"}
)


def joined(*declared: object, era: Era = "modern", served: frozenset[str] = EVERYTHING) -> Any:
    raws = [Raw(one if isinstance(one, bytes) else msgspec.json.encode(one)) for one in declared]
    return msgspec.json.decode(msgspec.json.encode(join_capabilities(raws, era, served)))


def test_the_least_is_tools() -> None:
    assert joined() == joined({}) == joined(b"[]") == {"tools": {"listChanged": True}}


def test_what_one_declares_the_endpoint_declares() -> None:
    assert joined({"prompts": {}}, {"resources": {"subscribe": True}}, {"completions": {}, "logging": {}}) == {
        "tools": {"listChanged": True},
        "prompts": {"listChanged": True},
        "resources": {"listChanged": True, "subscribe": True},
        "completions": {},
        "logging": {},
    }


def test_what_is_not_served_is_not_declared() -> None:
    declared: dict[str, Any] = {
        "resources": {"subscribe": True},
        "logging": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    }
    assert joined(declared, era="legacy", served=frozenset()) == {
        "tools": {"listChanged": True},
        "resources": {"listChanged": True},
    }
    assert joined(declared, served=frozenset())["logging"] == {}
    assert joined(declared)["extensions"] == {"io.modelcontextprotocol/tasks": {}}
    assert joined({"resources": {"subscribe": False}})["resources"] == {"listChanged": True}
    assert joined({"resources": 7})["resources"] == {"listChanged": True}


def test_tasks_of_either_form_are_offered_in_the_form_of_the_caller() -> None:
    legacy: Any = {"tasks": {"requests": {"tools": {"call": {}}}}}
    modern: Any = {"extensions": {EXTENSION: {"a": 1}}}
    for declared in (legacy, modern):
        assert joined(declared, era="legacy")["tasks"] == {
            "list": {},
            "cancel": {},
            "requests": {"tools": {"call": {}}},
        }
        assert "tasks" not in joined(declared)
        assert "tasks" not in joined(declared, era="legacy", served=frozenset())
        assert "extensions" not in joined(declared, served=frozenset())
    assert joined(legacy)["extensions"] == {EXTENSION: {}}
    assert joined(legacy, modern)["extensions"] == {EXTENSION: {"a": 1}}
    assert "tasks" not in joined({"tasks": {"list": {}}}, b"[]", era="legacy")


def test_extensions_are_joined_and_the_first_word_counts() -> None:
    made = joined(
        {"extensions": {"a": {"n": None}, "b": 1}}, {"extensions": {"b": 2, "c": {}}, "experimental": {"x": {}}}
    )
    assert made["extensions"] == {"a": {"n": None}, "b": 1, "c": {}}
    assert made["experimental"] == {"x": {}}
    many = joined({"extensions": {f"e{n}": 1 for n in range(MAX_EXTENSIONS + 5)}})
    assert len(many["extensions"]) == MAX_EXTENSIONS
