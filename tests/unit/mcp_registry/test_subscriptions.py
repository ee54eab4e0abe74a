"""Subscriptions: filters read strictly, messages tagged with the subscription they belong to."""

import orjson
import pytest
from mcp_types import SubscriptionFilter, SubscriptionsAcknowledgedNotification
from msgspec import Raw

from mcp_registry.protocol.envelope import read_object
from mcp_registry.protocol.errors import ProtocolError
from mcp_registry.protocol.subscriptions import (
    MAX_TASKS,
    MAX_URIS,
    META_SUBSCRIPTION,
    Filter,
    acknowledged,
    ended,
    read_filter,
    subscription_of,
    tagged,
    told_lists,
    untagged,
    updated_uri,
    write_filter,
)


def test_a_filter_is_read_and_written_as_the_sdk_has_it() -> None:
    wanted = Filter(frozenset({"tools", "resources"}), frozenset({"a://b", "a://a"}))
    written = write_filter(wanted)
    assert written == {
        "toolsListChanged": True,
        "resourcesListChanged": True,
        "resourceSubscriptions": ["a://a", "a://b"],
    }
    assert SubscriptionFilter.model_validate(written).resource_subscriptions == ["a://a", "a://b"]
    assert read_filter({"notifications": {**written, "promptsListChanged": False, "x": 1}}) == wanted
    assert read_filter({"notifications": {}}) == Filter()
    assert write_filter(Filter()) == {}
    for tasks in (frozenset({"b", "a"}), frozenset[str]()):
        assert write_filter(Filter(tasks=tasks)) == {"taskIds": sorted(tasks)}
        assert read_filter({"notifications": {"taskIds": [*tasks]}}) == Filter(tasks=tasks)


@pytest.mark.parametrize(
    "notifications",
    [
        None,
        [],
        {"resourceSubscriptions": "a://b"},
        {"resourceSubscriptions": [1]},
        {"resourceSubscriptions": [""]},
        {"resourceSubscriptions": [f"a://{number}" for number in range(MAX_URIS + 1)]},
        {"taskIds": "t"},
        {"taskIds": [1]},
        {"taskIds": [f"t{number}" for number in range(MAX_TASKS + 1)]},
    ],
)
def test_a_filter_that_is_none_is_refused(notifications: object) -> None:
    with pytest.raises(ProtocolError) as refusal:
        read_filter({"notifications": notifications})
    assert refusal.value.rpc_code == -32602


def test_what_is_said_on_a_stream_names_its_subscription() -> None:
    message = orjson.loads(acknowledged(b'"s"', Filter(frozenset({"tools"}))))
    assert message == {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": {"toolsListChanged": True}, "_meta": {META_SUBSCRIPTION: "s"}},
    }
    assert SubscriptionsAcknowledgedNotification.model_validate(message).params.notifications.tools_list_changed is True
    result = orjson.loads(ended(b"7", Raw(b'{"name":"g"}')))
    assert result["resultType"] == "complete"
    assert result["_meta"][META_SUBSCRIPTION] == 7


@pytest.mark.parametrize("meta", [b'{"k":null}', b"{}", b"7"])
def test_a_tag_is_put_on_and_taken_off_and_nothing_else_is_changed(meta: bytes) -> None:
    params = {"uri": Raw(b'"a://b"'), "_meta": Raw(meta)}
    assert subscription_of(params) is None
    on = tagged(params, b'"s"')
    assert subscription_of(on) == b'"s"'
    assert bytes(read_object(on["_meta"])[META_SUBSCRIPTION]) == b'"s"'
    off = untagged(on)
    assert bytes(off["uri"]) == b'"a://b"'
    assert ("_meta" in off) == (meta == b'{"k":null}')
    assert "_meta" not in untagged({"_meta": Raw(b"7")})
    assert untagged({"uri": Raw(b"1")}) == {"uri": Raw(b"1")}
    assert subscription_of({}) is None


@pytest.mark.parametrize(
    ("params", "uri"), [(b'{"uri":"a://b","x":1}', "a://b"), (b'{"uri":1}', None), (b"{}", None), (None, None)]
)
def test_an_update_names_its_resource(params: bytes | None, uri: str | None) -> None:
    assert updated_uri(None if params is None else Raw(params)) == uri


@pytest.mark.parametrize(
    ("capabilities", "modern", "legacy"),
    [
        (
            b'{"tools":{"listChanged":true},"prompts":{},"resources":{"listChanged":true}}',
            {"tools", "resources"},
            {"tools", "prompts", "resources"},
        ),
        (b'{"tools":{"listChanged":false},"x":1}', set[str](), {"tools"}),
        (b'{"tools":7}', set[str](), {"tools"}),
        (b"[]", set[str](), set[str]()),
        (None, set[str](), set[str]()),
    ],
)
def test_a_server_says_of_which_lists_it_tells_and_a_legacy_one_may_tell_of_all_it_has(
    capabilities: bytes | None, modern: set[str], legacy: set[str]
) -> None:
    raw = None if capabilities is None else Raw(capabilities)
    assert told_lists(raw, "modern") == modern
    assert told_lists(raw, "legacy") == legacy
