"""The load generators: what they count, and what they call a failure."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from demos.bench import load, load_client, recipes, serving, upstream


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[upstream.Stub]:
    started = upstream.start(tmp_path, core=None, variant="python")
    yield started
    serving.stop(started.server)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncGenerator[str, None]:
    """Serve `answer` to every request on a fresh port, then close the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize("by", ["wrk", "bundled"])
def test_a_generator_reports_requests_latency_and_no_failures(
    stub: upstream.Stub, tmp_path: Path, by: load.Generator
) -> None:
    if by == "wrk" and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")

    result = load.drive(recipes.call(stub.url, "echo"), 4, 0.3, by=by, core=None, scratch=tmp_path)

    assert result.requests > 100
    assert result.failures == 0
    assert 0 < result.p50_ms <= result.p99_ms < 1000
    assert result.rps == pytest.approx(result.requests / result.seconds)


async def test_answers_that_are_no_success_are_failures() -> None:
    async with answering(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n") as url:
        figures = await load_client.drive(url, {}, "{}", 1, 0.1)

    assert figures["requests"] > 0
    assert figures["failures"] == figures["requests"]


async def test_a_connection_closed_before_the_answer_is_a_failure() -> None:
    async with answering(b"") as url:
        figures = await load_client.drive(url, {}, "{}", 1, 0.1)

    assert figures["requests"] == 0
    assert figures["failures"] > 0


async def test_an_answer_that_is_not_http_is_a_failure() -> None:
    async with answering(b"no\r\n\r\n") as url:
        figures = await load_client.drive(url, {}, "{}", 1, 0.1)

    assert figures["requests"] == 0
    assert figures["failures"] > 0


async def test_a_server_that_is_not_there_is_a_failure_per_connection() -> None:
    figures = await load_client.drive(f"http://127.0.0.1:{serving.free_port()}/", {}, "{}", 3, 0.1)

    assert (figures["requests"], figures["failures"], figures["p99_ms"]) == (0, 3, 0.0)


def test_the_wrk_script_carries_any_text_as_a_literal() -> None:
    script = load.lua(load.Target("http://x/", {"x-a": 'a"\\\nb'}, '{"é":"]]"}'))

    assert 'wrk.headers["x-a"] = "a\\034\\092\\010b"' in script
    assert 'wrk.body = "{\\034\\195\\169\\034:\\034]]\\034}"' in script
