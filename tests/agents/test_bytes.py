"""What passes is what was sent, byte for byte: both ways, whole and streamed, whatever nobody here knows."""

from pathlib import Path

import pytest

from support.agent_scenes import V1, agents_behind, caller
from support.raw_agent import STREAM, RawAgent, card, http, raw_agent, saying
from support.scenes import check_books, of_kind

JSON = {"content-type": "application/json", **V1}

# Spelled as no encoder of ours would: blanks, escapes, order, numbers beyond 64 bits, members of tomorrow.
REQUEST = (
    b'{ "params":{"message":{"role":"ROLE_USER","messageId":"m","parts":[{"text":"h\\u0069","tomorrow":null}],'
    b'"metadata":{"big":12345678901234567890123,"tiny":1e-7,"no":false}},"configuration":{"returnImmediately":false},'
    b'"ifGenerationMatch":7},"id" :"\\u0061", "method":"SendMessage","jsonrpc":"2.0" }'
)
RESULT = (
    b'{"jsonrpc":"2.0", "id":"\\u0061","result":{"task":{"id":"t:1","contextId":"c","generation":18446744073709551616,'
    b'"status":{"state":"TASK_STATE_DREAMING","timestamp":"2026-11-23T09:00:00.123456"},"artifacts":[{"artifactId":"a",'
    b'"parts":[{"data":{"x":1.0,"y":1e400,"z":-0.0}}],"append":false,"lastChunk":false}],"kind":"task"}}}'
)
# As recorded: langgraph-api sends 1.0 events without their wrapper; fasta2a sends times without a zone.
LANGGRAPH = (
    b'event: message\r\ndata: {"jsonrpc":"2.0","id":"a","result":{"taskId":"thread:run","contextId":"thread",'
    b'"kind":"status-update","status":{"state":"working"},"final":false}}\r\n\r\n'
    b": ping - 2026-11-23 09:00:00\r\n\r\n"
    b'event: message\r\ndata: {"jsonrpc":"2.0","id":"a","result":{"taskId":"thread:run","contextId":"thread",'
    b'"kind":"artifact-update","artifact":{"artifactId":"x","parts":[{"kind":"text","text":"hi"}]},"lastChunk":false}}\r\n\r\n'
)
FASTA2A = (
    b'data: {"jsonrpc": "2.0", "id": "a", "result": {"task": {"id": "f-1", "context_id": "c", "kind": "task", '
    b'"status": {"state": "submitted", "timestamp": "2026-11-23T09:00:00.123456"}}}}\n\n'
    b'data: {\ndata: "jsonrpc": "2.0", "id": "a",\ndata: "result": {}}\n\n'
)


async def only(agent: RawAgent) -> bytes:
    (asked,) = agent.asked
    return asked.body


@pytest.mark.requirement("a2a.byte-identity")
async def test_a_message_and_its_answer_pass_unchanged(tmp_path: Path) -> None:
    async with raw_agent(saying(http(RESULT))) as agent, agents_behind(tmp_path, [agent.entry("worker")]) as running:
        async with caller(running, "planner") as ana:
            answer = await ana.post("/a2a/worker", content=REQUEST, headers=JSON)
        assert answer.content == RESULT
        assert await only(agent) == REQUEST
        assert (agent.asked[0].line, agent.asked[0].head[b"a2a-version"]) == (b"POST /rpc HTTP/1.1", b"1.0")
        check_books(await running.settled())


@pytest.mark.requirement("a2a.byte-identity")
@pytest.mark.parametrize("transcript", [LANGGRAPH, FASTA2A], ids=["langgraph", "fasta2a"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_stream_passes_unchanged_however_it_is_cut(tmp_path: Path, transcript: bytes, size: int) -> None:
    pieces = [transcript[at : at + size] for at in range(0, len(transcript), size)]
    async with raw_agent(saying(STREAM, *pieces)) as agent, agents_behind(tmp_path, [agent.entry("worker")]) as running:
        async with caller(running, "planner") as ana:
            body = REQUEST.replace(b"SendMessage", b"SendStreamingMessage")
            answer = await ana.post("/a2a/worker", content=body, headers=JSON)
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.content == transcript
        assert await only(agent) == body
        (outcome,) = of_kind(await running.settled(), "outcome")
        assert (outcome["status"], outcome["bytes_out"]) == ("ok", len(transcript))


async def test_an_event_that_is_too_large_to_read_passes_in_pieces(tmp_path: Path) -> None:
    event = b'data: {"result":{"message":{"messageId":"m","parts":[{"text":"%b"}]}}}\n\n' % (b"x" * 3_000_000)
    async with (
        raw_agent(saying(STREAM, event)) as agent,
        agents_behind(tmp_path, [agent.entry("worker")]) as running,
        caller(running, "planner") as ana,
    ):
        body = REQUEST.replace(b"SendMessage", b"SendStreamingMessage")
        answer = await ana.post("/a2a/worker", content=body, headers=JSON)
    assert answer.content == event


@pytest.mark.requirement("a2a.skill-facade")
async def test_a_facade_adds_the_skill_and_nothing_else(tmp_path: Path) -> None:
    path = "/a2a/worker/skills/draft"

    def with_skill(url: str) -> bytes:
        skill: dict[str, object] = {"id": "draft", "name": "Draft", "description": "d", "tags": ["t"]}
        return card(url, skills=[skill])

    async with (
        raw_agent(saying(http(RESULT)), with_skill) as agent,
        agents_behind(tmp_path, [agent.entry("worker")]) as running,
        caller(running, "planner", path) as ana,
    ):
        answer = await ana.post(path, content=REQUEST, headers=JSON)
        assert answer.content == RESULT
        sent = await only(agent)
        assert b'"big":12345678901234567890123,"tiny":1e-7' in sent
        assert b'"https://agent-gateway.invalid/a2a/skill/v1":{"skillId":"draft"}' in sent
        assert b'"ifGenerationMatch":7' in sent
