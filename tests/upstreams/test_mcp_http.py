"""The HTTP upstream against real servers on the official SDK, in every era and form of answer."""

import asyncio
from collections.abc import Generator

import anyio
import orjson
import pytest
from msgspec import Raw

from agent_gateway.ports import UpstreamRequest
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout
from support.mcp_servers import Era, HttpServer, start_http_server
from support.principals import ALICE, BOB, EVE
from support.upstreams import FakeClock, KeepingSink, call, http_settings, open_http, text_of

KINDS: dict[str, tuple[Era, bool]] = {
    "modern, streams": ("both", False),
    "modern, json": ("modern", True),
    "legacy, streams": ("legacy", False),
    "legacy, json": ("legacy", True),
}


@pytest.fixture(scope="module", params=list(KINDS))
def server(request: pytest.FixtureRequest) -> Generator[HttpServer]:
    era, is_json = KINDS[request.param]
    with start_http_server(era=era, is_json=is_json) as running:
        yield running


@pytest.fixture(scope="module", params=["both", "legacy"])
def streaming_server(request: pytest.FixtureRequest) -> Generator[HttpServer]:
    with start_http_server(era=request.param) as running:
        yield running


async def test_a_tool_is_called_listed_and_its_server_known(server: HttpServer) -> None:
    async with open_http(http_settings(server.url)) as upstream:
        assert upstream.health().state == "unknown"
        answer = await upstream.request(call("echo", {"text": "grüße"}), KeepingSink())
        assert (text_of(answer), answer.era) == ("grüße", server.era)
        names = [orjson.loads(bytes(tool))["name"] for tool in (await upstream.list_items("tools", ALICE)).items]
        assert {"echo", "nap", "steps"} <= set(names)
        info = await upstream.server_info(ALICE)
        assert (info.era, info.instructions) == (server.era, "be kind")
        assert info.server_info is not None
        assert orjson.loads(bytes(info.server_info))["name"] == "sdk-fixture"
        assert upstream.health().state == "up"


async def test_two_hundred_answers_out_of_order_each_reach_their_own_caller(server: HttpServer) -> None:
    async with open_http(http_settings(server.url)) as upstream:

        async def one(number: int) -> tuple[int, str]:
            arguments = {"text": f"text {number}", "seconds": (200 - number) % 7 / 100}
            return number, text_of(await upstream.request(call("nap", arguments), KeepingSink()))

        answers = await asyncio.gather(*[one(number) for number in range(200)])
        assert answers == [(number, f"text {number}") for number in range(200)]


async def test_progress_of_a_request_reaches_its_own_sink_in_order(server: HttpServer) -> None:
    async with open_http(http_settings(server.url)) as upstream:
        sinks = [KeepingSink() for _ in range(5)]
        requests = [call("steps", {"count": count}, wants_progress=True) for count in range(5)]
        await asyncio.gather(*[upstream.request(*pair) for pair in zip(requests, sinks, strict=True)])
        for count, sink in enumerate(sinks):
            steps = [] if server.is_json else list(range(1, count + 1))  # a JSON answer has no place for progress
            assert [params["progress"] for _, params in sink.messages] == steps
            assert {method for method, _ in sink.messages} <= {"notifications/progress"}


async def test_a_request_that_wants_no_progress_gets_none(server: HttpServer) -> None:
    async with open_http(http_settings(server.url)) as upstream:
        sink = KeepingSink()
        await upstream.request(call("steps", {"count": 3}), sink)
        assert sink.messages == []


async def test_a_cancelled_request_is_cancelled_at_the_upstream(streaming_server: HttpServer) -> None:
    async with open_http(http_settings(streaming_server.url)) as upstream:
        sink = KeepingSink()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upstream.request, call("hang", {"name": "left alone"}, wants_progress=True), sink)
            await sink.first.wait()
            tasks.cancel_scope.cancel()
        while "left alone" not in text_of(await upstream.request(call("seen"), KeepingSink())):
            pass  # each round asks the server again


async def test_a_deadline_is_a_timeout_and_cancels_too(server: HttpServer) -> None:
    async with open_http(http_settings(server.url)) as upstream:
        await upstream.request(call("echo", {"text": "warm"}), KeepingSink())
        with pytest.raises(UpstreamTimeout):
            await upstream.request(call("hang", {"name": "late"}, timeout_s=0.2), KeepingSink())
        assert upstream.health().state == "up"  # a caller's deadline says nothing of the upstream
        assert text_of(await upstream.request(call("echo", {"text": "still"}), KeepingSink())) == "still"


async def test_an_error_of_the_upstream_is_an_answer(server: HttpServer) -> None:
    async with open_http(http_settings(server.url)) as upstream:
        answer = await upstream.request(UpstreamRequest("no/such", {}, ALICE, timeout_s=10), KeepingSink())
        assert answer.result is None
        assert answer.error is not None
        assert orjson.loads(bytes(answer.error))["code"] in (-32601, -32602)
        assert upstream.health().state == "up"


async def test_each_principal_travels_with_its_own_credential_and_session(server: HttpServer) -> None:
    async with open_http(http_settings(server.url)) as upstream:
        for principal in (ALICE, BOB, EVE, ALICE):
            answer = await upstream.request(call("credential", principal=principal), KeepingSink())
            assert text_of(answer) == f"Bearer upstream-token-of-{principal.id}"
        assert upstream.session_count == (3 if server.era == "legacy" else 0)


async def test_params_reach_the_upstream_with_their_unknown_members(server: HttpServer) -> None:
    async with open_http(http_settings(server.url)) as upstream:
        request = call("echo", {"text": "x"})
        params = {**request.params, "_meta": Raw(b'{"example.com/big":123456789012345678901234567890}')}
        answer = await upstream.request(
            UpstreamRequest("tools/call", params, ALICE, 10, name_header="echo"), KeepingSink()
        )
        assert text_of(answer) == "x"


async def test_idle_sessions_are_ended_and_opened_again_when_needed(server: HttpServer) -> None:
    clock = FakeClock()
    async with open_http(http_settings(server.url), clock) as upstream:
        await upstream.request(call("echo", {"text": "x"}), KeepingSink())
        clock.now += 599
        upstream.expire_idle()
        assert upstream.session_count == (1 if server.era == "legacy" else 0)
        clock.now += 1
        upstream.expire_idle()
        assert upstream.session_count == 0
        assert text_of(await upstream.request(call("echo", {"text": "y"}), KeepingSink())) == "y"


async def test_a_pinned_era_is_spoken_without_asking(server: HttpServer) -> None:
    async with open_http(http_settings(server.url, era=server.era)) as upstream:
        assert text_of(await upstream.request(call("echo", {"text": "x"}), KeepingSink())) == "x"
        assert (await upstream.server_info(ALICE)).instructions == "be kind"


@pytest.mark.requirement("mcp.era-of-the-caller")
@pytest.mark.parametrize(
    ("speaks", "answers"), [("both", ["modern", "legacy"]), ("modern", ["modern"] * 2), ("legacy", ["legacy"] * 2)]
)
async def test_a_server_of_both_eras_is_called_in_its_callers_and_another_in_its_own(
    speaks: Era, answers: list[str]
) -> None:
    with start_http_server(era=speaks) as running:
        async with open_http(http_settings(running.url, era="caller")) as upstream:
            for _ in range(2):
                eras: list[str] = []
                for era in ("modern", "legacy"):
                    answer = await upstream.request(call("echo", {"text": era}, caller_era=era), KeepingSink())
                    assert text_of(answer) == era
                    eras.append(answer.era)
                assert eras == answers
            assert upstream.session_count == (0 if speaks == "modern" else 1)


async def test_an_upstream_that_is_closed_refuses(server: HttpServer) -> None:
    async with open_http(http_settings(server.url)) as upstream:
        await upstream.request(call("echo", {"text": "x"}), KeepingSink())
        await upstream.aclose()
        with pytest.raises(UpstreamFailed):
            await upstream.request(call("echo", {"text": "x"}), KeepingSink())
