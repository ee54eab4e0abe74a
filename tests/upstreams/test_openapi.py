"""An API as an upstream: real requests to a real server, and what a caller is told of its answers."""

import base64
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec import Raw

from agent_gateway.identity.broker import ClientCredentials, TokenResponse
from agent_gateway.identity.scheme_secrets import Basic, Key, SchemeCredential, SchemeSecrets
from agent_gateway.ports import UpstreamRequest
from agent_gateway.stores.answers import KeptAnswers
from agent_gateway.upstreams.api_exchange import ExchangeLimits
from agent_gateway.upstreams.api_wire import ApiAccess
from agent_gateway.upstreams.openapi import ApiSettings, ApiTool, ApiTools, OpenApi
from context_mesh.openapi.model import (
    NO_SCHEMA,
    Argument,
    Body,
    Field,
    MediaType,
    Operation,
    SecurityNeed,
    SecurityScheme,
    Server,
)
from context_mesh.openapi.tool import Annotations, Risk, Tool
from context_mesh.wire.address import Site, origin_of
from context_mesh.wire.plan import Placing
from context_mesh.wire.read import Shape
from gateway_policies.principal import Hop, Principal
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable
from support.api_backend import Backend, backend
from support.http_pools import pool
from support.principals import ALICE, BOB
from support.upstreams import FakeClock, KeepingSink
from support.wire_table import operation, parameter

OBJECT = {"type": "object"}


def tool(name: str, one: Operation, arguments: Sequence[Argument] = ()) -> Tool:
    marks = Annotations(is_read_only=True, is_destructive=False, is_idempotent=True)
    return Tool(name, "", "", one, OBJECT, OBJECT, None, marks, Risk.READ, tuple(arguments))


@dataclass
class World:
    """An upstream in front of the echoing API."""

    api: OpenApi
    backend: Backend
    clock: FakeClock

    async def call(
        self, name: str, arguments: Mapping[str, Any] | None = None, who: Principal = ALICE, **meta: Any
    ) -> Any:
        params = {"name": Raw(orjson.dumps(name)), "arguments": Raw(json.dumps(arguments or {}).encode())}
        if meta:
            params["_meta"] = Raw(orjson.dumps({f"agent-gateway/{key}": value for key, value in meta.items()}))
        request = UpstreamRequest("tools/call", params, who, 10.0, wants_progress=True, trace={"traceparent": "00-1"})
        answer = await self.api.request(request, self.sink)
        if answer.error is not None:
            return orjson.loads(bytes(answer.error))
        assert answer.result is not None
        assert answer.size_bytes == len(bytes(answer.result))
        return json.loads(bytes(answer.result))

    @property
    def sink(self) -> KeepingSink:
        return self._sink

    def __post_init__(self) -> None:
        self._sink = KeepingSink()


async def _nothing(principal: Principal) -> Sequence[tuple[bytes, bytes]]:
    return []


@asynccontextmanager
async def world(
    folder: Path,
    *tools: Tool,
    credentials: Mapping[str, SchemeCredential] | None = None,
    shape: Shape | None = None,
    always: Any = _nothing,
    **limits: Any,
) -> AsyncGenerator[World]:
    async def token(url: str, headers: Any, form: bytes, max_bytes: int) -> TokenResponse:
        return TokenResponse(200, b'{"access_token":"fetched","token_type":"bearer"}')

    clock = FakeClock()
    async with backend() as served, pool() as http:
        downloads, check = limits.pop("downloads", None), limits.pop("check", None)
        exchange = ExchangeLimits(downloads=frozenset([origin_of(served.url)]) if downloads else frozenset(), **limits)
        site = Site(served.url)
        made = [ApiTool(one, Placing(site, one.arguments), Raw(orjson.dumps(one.definition())), check) for one in tools]
        schemes = SchemeSecrets(
            served.url, credentials or {}, post_form=token, clock=clock, has_default=always is not _nothing
        )
        settings = ApiSettings("api", site, exchange, shape or Shape())
        answers = KeptAnswers(folder / "answers", clock)
        api = OpenApi(settings, lambda: ApiTools(made, "A test"), http, ApiAccess(always, schemes), answers, clock)
        yield World(api, served, clock)


SEARCH = tool(
    "search",
    operation("/items/{id}", parameters=()),
    [Argument("id", parameter=parameter("id", "path", "simple", False)),
     Argument("tags", parameter=parameter("tags", "query", "form", True))],
)  # fmt: skip


@pytest.mark.requirement("mesh.calls-an-api")
async def test_a_call_becomes_one_request_and_its_answer_one_result(tmp_path: Path) -> None:
    async with world(tmp_path, SEARCH) as api:
        result = await api.call("search", {"id": "a b", "tags": ["x", "y"]})
        seen = result["structuredContent"]
        assert (seen["method"], seen["path"], seen["query"]) == ("GET", "/items/a%20b", "tags=x&tags=y")
        assert seen["headers"]["traceparent"] == "00-1"
        assert seen["headers"]["accept-encoding"] == "identity"
        assert json.loads(result["content"][0]["text"]) == seen
        assert len(api.backend.seen) == 1


@pytest.mark.requirement("mesh.path-stays")
async def test_an_argument_that_cannot_be_sent_is_told_and_nothing_is_called(tmp_path: Path) -> None:
    async with world(tmp_path, SEARCH) as api:
        result = await api.call("search", {"id": "../admin"})
        assert result["isError"] is True
        assert "nothing was sent" in result["content"][0]["text"]
        assert api.backend.seen == []
        assert api.api.health().state == "unknown"


@dataclass
class Wrong:
    message: str
    instance_path: list[str | int]


async def test_arguments_are_held_to_the_whole_schema(tmp_path: Path) -> None:
    def check(arguments: object) -> list[Wrong]:
        return [Wrong("is too long", ["tags", 0]), Wrong("odd", [])] if arguments == {"id": "1"} else []

    async with world(tmp_path, SEARCH, check=check) as api:
        result = await api.call("search", {"id": "1"})
        assert result["content"][0]["text"] == "nothing was sent: `tags/0`: is too long; odd"
        assert api.backend.seen == []
        assert "isError" not in await api.call("search", {"id": "2"})


@pytest.mark.requirement("mesh.binary-answers")
async def test_a_multipart_form_arrives_as_it_was_meant(tmp_path: Path) -> None:
    media = MediaType(
        "multipart/form-data", NO_SCHEMA,
        fields=(
            Field("meta", NO_SCHEMA), Field("file", NO_SCHEMA, is_file=True), Field("tags", NO_SCHEMA, is_many=True),
        ),
    )  # fmt: skip
    upload = tool("upload", operation("/form", "POST", body=Body(media)), [Argument("body")])
    data = base64.b64encode(bytes(range(256))).decode()
    body = {
        "meta": {"é": 1}, "tags": ["a", "b"],
        "file": {"data": data, "filename": "naïve \"x\".bin", "type": "application/x-test"},
    }  # fmt: skip
    async with world(tmp_path, upload) as api:
        result = await api.call("upload", {"body": body})
        assert result["structuredContent"] == [
            ["meta", '{"é":1}'], ["file", "naïve %22x%22.bin", "application/x-test", data],
            ["tags", "a"], ["tags", "b"],
        ]  # fmt: skip


@pytest.mark.requirement("mesh.binary-answers")
async def test_bytes_pass_both_ways(tmp_path: Path) -> None:
    media = MediaType("image/*", NO_SCHEMA, is_file=True)
    send = tool("send", operation("/mirror", "POST", body=Body(media)), [Argument("body")])
    held = bytes(range(256)) * 50
    async with world(tmp_path, send) as api:
        result = await api.call("send", {"body": {"data": base64.b64encode(held).decode(), "type": "image/png"}})
        (block,) = result["content"]
        assert (block["type"], block["mimeType"]) == ("image", "image/png")
        assert base64.b64decode(block["data"]) == held


async def test_integers_of_any_size_pass_both_ways(tmp_path: Path) -> None:
    put = tool(
        "put", operation("/mirror", "PUT", body=Body(MediaType("application/json", NO_SCHEMA))), [Argument("body")]
    )
    value = {"n": 123456789012345678901234567890, "null": None}
    async with world(tmp_path, put) as api:
        assert (await api.call("put", {"body": value}))["structuredContent"] == value


# --- credentials -----------------------------------------------------------------------------


def need(name: str, kind: Any, location: Any = "", parameter: str = "", scheme: str = "") -> SecurityNeed:
    return SecurityNeed(SecurityScheme(name, kind, location, parameter, scheme))


KEY = need("key", "apiKey", "query", "api_key")
COOKIE = need("sid", "apiKey", "cookie", "sid")
BASIC = need("basic", "http", scheme="basic")
BEARER = need("bearer", "http", scheme="bearer")
OAUTH = need("oauth", "oauth2")


@pytest.mark.requirement("mesh.credentials")
@pytest.mark.parametrize(
    ("alternatives", "credentials", "sent"),
    [
        (((KEY, COOKIE),), {"key": Key("k/1"), "sid": Key("s")}, ("api_key=k%2F1", None, "sid=s")),
        (((BASIC,),), {"basic": Basic("u", "p")}, ("", "Basic dTpw", None)),
        (((OAUTH,), (BEARER,)), {"bearer": Key("t")}, ("", "Bearer t", None)),
        (((OAUTH,),), {"oauth": ClientCredentials("https://as.example/t", "c", "s")}, ("", "Bearer fetched", None)),
        (((OAUTH,),), {"oauth": Key("fixed")}, ("", "Bearer fixed", None)),
        (((need("t", "http", scheme="token"),),), {"t": Key("x")}, ("", "Token x", None)),
        ((), {"key": Key("k")}, ("", None, None)),
        (((KEY,), ()), {}, ("", None, None)),
    ],
)  # fmt: skip
async def test_a_call_carries_what_the_operation_wants(
    tmp_path: Path,
    alternatives: Any,
    credentials: Mapping[str, SchemeCredential],
    sent: tuple[str, str | None, str | None],
) -> None:
    one = tool("get", operation("/x", security=alternatives))
    async with world(tmp_path, one, credentials=credentials) as api:
        echo = await api.call("get")
        (seen,) = api.backend.seen
        assert (seen["query"], seen["headers"].get("authorization"), seen["headers"].get("cookie")) == sent
        assert sent[1] not in str(echo).split("'"), "an API that echoes tells no secret"


@pytest.mark.requirement("mesh.credentials")
async def test_without_a_credential_nothing_is_sent(tmp_path: Path) -> None:
    one = tool("get", operation("/x", security=((KEY,), (BASIC, OAUTH))))
    async with world(tmp_path, one, credentials={"basic": Basic("u", "p")}) as api:
        with pytest.raises(UpstreamUnreachable) as refused:
            await api.call("get")
        assert refused.value.code == "credential_missing"
        assert api.backend.seen == []


async def test_the_operators_own_header_goes_with_every_call(tmp_path: Path) -> None:
    async def always(principal: Principal) -> Sequence[tuple[bytes, bytes]]:
        return [(b"authorization", b"Bearer " + principal.id.encode())]

    header = Argument("h", parameter=parameter("Authorization", "header", "simple", False))
    one, other = (
        tool("get", operation("/x", security=((KEY,),)), [header]),
        tool("both", operation("/x", security=((BASIC,),))),
    )
    async with world(tmp_path, one, other, always=always, credentials={"basic": Basic("u", "p")}) as api:
        await api.call("get", {"h": "x"})
        await api.call("both")
        assert [seen["headers"]["authorization"] for seen in api.backend.seen] == ["Bearer alice", "Basic dTpw"]


async def test_a_server_of_its_own_that_nobody_registered_is_not_called(tmp_path: Path) -> None:
    one = tool("get", operation("/x", servers=(Server("http://169.254.169.254/"),), has_own_servers=True))
    async with world(tmp_path, one) as api:
        with pytest.raises(UpstreamUnreachable) as refused:
            await api.call("get")
        assert refused.value.code == "server_not_registered"


# --- answers ---------------------------------------------------------------------------------


@pytest.mark.requirement("mesh.useful-errors")
@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 502, 503])
async def test_a_failure_is_a_tool_error_in_the_apis_words(tmp_path: Path, status: int) -> None:
    one = tool("get", operation(f"/fail/{status}", security=((OAUTH,),)))
    async with world(tmp_path, one, credentials={"oauth": ClientCredentials("https://as.example/t", "c", "s")}) as api:
        result = await api.call("get")
        assert result["isError"] is True
        assert "Out of stock; no more of item 7" in result["content"][0]["text"]


async def test_a_broken_gateway_before_the_api_opens_the_breaker(tmp_path: Path) -> None:
    async with world(tmp_path, tool("get", operation("/fail/502"))) as api:
        for _ in range(5):
            await api.call("get")
        with pytest.raises(UpstreamUnreachable) as refused:
            await api.call("get")
        assert refused.value.code == "upstream_down"
        assert len(api.backend.seen) == 5


@pytest.mark.requirement("mesh.waits-for-work")
async def test_work_that_was_accepted_is_waited_for(tmp_path: Path) -> None:
    one = tool("start", operation("/jobs", "POST"))
    async with world(tmp_path, one, poll_s=30.0) as api:
        result = await api.call("start")
        assert result["structuredContent"] == {"state": "done"}
        assert [told["method"] for told in api.backend.seen] == ["POST", "GET", "GET"]
        assert [params["progress"] for _, params in api.sink.messages] == [1, 2]


async def test_work_that_was_accepted_is_told_when_nobody_waits(tmp_path: Path) -> None:
    async with world(tmp_path, tool("start", operation("/jobs", "POST"))) as api:
        result = await api.call("start")
        assert result["structuredContent"] == {"id": 1}
        assert "Its state is at `/jobs/1`" in result["content"][1]["text"]


async def test_a_redirect_is_followed_only_where_an_operator_allows_it(tmp_path: Path) -> None:
    one = tool(
        "get", operation("/redirect", security=((KEY,),)),
        [Argument("to", parameter=parameter("to", "query", "form", True))],
    )  # fmt: skip
    async with world(tmp_path, one, credentials={"key": Key("k")}) as api:
        result = await api.call("get", {"to": f"{api.backend.url}/file"})
        assert result["isError"] is True
        assert len(api.backend.seen) == 1
    async with world(tmp_path, one, credentials={"key": Key("k")}, downloads=True) as api:
        result = await api.call("get", {"to": f"{api.backend.url}/file#part"})
        assert result["structuredContent"]["path"] == "/file"
        assert "api_key" not in result["structuredContent"]["query"]
        assert (await api.call("get", {"to": "http://10.0.0.1/x"}))["isError"] is True
        assert (await api.call("get", {"to": "http://[/x"}))["isError"] is True


@pytest.mark.requirement("mesh.answers-fit")
async def test_a_large_answer_is_cut_and_can_be_read_on_by_its_owner_only(tmp_path: Path) -> None:
    async with world(tmp_path, tool("many", operation("/many")), shape=Shape(max_chars=2000)) as api:
        result = await api.call("many")
        assert len(result["structuredContent"]["items"]) == 20
        handle = result["content"][1]["text"].partition('"handle": "')[2].partition('"')[0]
        where = {"handle": handle, "pointer": "/items", "offset": 398}
        rest = (await api.call("read_result", where))["structuredContent"]
        assert [item["id"] for item in rest["items"]] == [398, 399]
        assert rest["total"] == 400
        for_bob = replace(ALICE, chain=(Hop("issuer", "bob", is_verified=True),))
        odd = ({"handle": "x" * 22}, {"handle": "../x"}, {"pointer": "/no"})
        for who, change in ((BOB, {}), (for_bob, {}), *((ALICE, one) for one in odd)):
            refused = await api.call("read_result", {**where, **change}, who)
            assert refused["isError"] is True
        assert (await api.call("read_result", {"handle": handle, "offset": -1}))["isError"] is True
        assert (await api.call("read_result", {}))["isError"] is True
        api.clock.now += 3600
        assert (await api.call("read_result", where))["isError"] is True


async def test_a_caller_may_name_the_fields_it_wants(tmp_path: Path) -> None:
    async with world(tmp_path, tool("many", operation("/many"))) as api:
        result = await api.call("many", fields=["items.id", 7])
        assert result["structuredContent"]["items"][:2] == [{"id": 0}, {"id": 1}]
        whole = await api.call("many", fields="items")
        assert whole["structuredContent"]["items"][0]["name"] == "item 0"


async def test_a_stream_without_an_end_is_read_for_a_while(tmp_path: Path) -> None:
    async with world(tmp_path, tool("listen", operation("/events")), stream_s=0.3) as api:
        result = await api.call("listen")
        assert result["structuredContent"] == [{"n": 1}, {"n": 2}]
        assert "without an end" in result["content"][1]["text"]


async def test_a_compressed_answer_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, tool("get", operation("/zipped"))) as api:
        with pytest.raises(UpstreamFailed) as failed:
            await api.call("get")
        assert failed.value.code == "upstream_garbage"


# --- the port --------------------------------------------------------------------------------


async def test_it_lists_its_tools_and_the_one_that_reads_on(tmp_path: Path) -> None:
    async with world(tmp_path, SEARCH) as api:
        listed = [orjson.loads(bytes(raw)) for raw in (await api.api.list_items("tools", ALICE)).items]
        assert [one["name"] for one in listed] == ["search", "read_result"]
        assert (await api.api.list_items("prompts", ALICE)).items == ()
        info = await api.api.server_info(ALICE)
        assert (info.era, info.capabilities, info.instructions) == ("modern", Raw(b'{"tools":{}}'), "A test")
    async with world(tmp_path) as empty:
        assert (await empty.api.list_items("tools", ALICE)).items == ()


async def test_other_methods_and_unknown_tools_are_errors(tmp_path: Path) -> None:
    async with world(tmp_path, SEARCH) as api:
        answer = await api.api.request(UpstreamRequest("prompts/list", {}, ALICE, 5.0), api.sink)
        assert answer.error is not None
        assert orjson.loads(bytes(answer.error))["code"] == -32601
        assert (await api.call("gone"))["code"] == -32602
