"""The gRPC way out by itself: where it connects, whom it believes, what it carries, and what statuses come to."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from a2a.types import a2a_pb2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.rpc import error_details_pb2, status_pb2

from agent_gateway.egress.resolve import Address, EgressRules
from agent_gateway.ports import HttpRequest, HttpResponse
from agent_gateway.upstreams.a2a_grpc import GrpcClient
from agent_gateway.upstreams.a2a_http import AgentSettings
from agent_gateway.upstreams.agent_client import GRPC_PATH, AgentClient
from agent_gateway.upstreams.http_pool import HttpPool
from agent_gateway.upstreams.settings import UpstreamLimits, UpstreamTimeouts
from gateway_policies.refusal import BadRequest, Refusal, UpstreamFailed
from support.config_files import MINIMAL, errors_of
from support.grpc_agents import Servicer, a_task, grpc, grpc_agent
from support.raw_http import Peer, raw_server

PRIVATE = EgressRules(allow_private=True)
Names = dict[str, list[str]]


def message(text: str = "x", **more: object) -> dict[str, Any]:
    return {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}], **more}}


def request(
    url: str, params: object = None, method: str = "SendMessage", headers: Sequence[tuple[bytes, bytes]] = ()
) -> HttpRequest:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": message() if params is None else params}
    return HttpRequest("POST", url + GRPC_PATH, [(b"accept", b"application/json"), *headers], json.dumps(body).encode())


def settings(url: str, rules: EgressRules = PRIVATE, **limits: int) -> AgentSettings:
    return AgentSettings("worker", url, url, rules=rules, limits=UpstreamLimits(**limits))


@asynccontextmanager
async def client(made: GrpcClient) -> AsyncGenerator[GrpcClient]:
    try:
        with anyio.fail_after(60):
            yield made
    finally:
        await made.aclose()


async def answered(made: GrpcClient, sent: HttpRequest) -> dict[str, Any]:
    response = await made.send(sent, timeout_s=30)
    return json.loads(await response.read(1_000_000))


async def refused(made: GrpcClient, sent: HttpRequest, timeout_s: float = 30) -> str:
    with pytest.raises(Refusal) as caught:
        await made.send(sent, timeout_s=timeout_s)
    return caught.value.code


def resolver(*answers: str) -> Callable[[str, int], Any]:
    """Return a resolver that gives one address after the other, the last one ever after."""
    left = list(answers)

    async def getaddrinfo(host: str, port: int) -> Sequence[Address]:
        del host, port
        return [(socket.AF_INET, left.pop(0) if len(left) > 1 else left[0])]

    return getaddrinfo


async def done(request: Any, context: Any) -> a2a_pb2.SendMessageResponse:
    del request, context
    return a2a_pb2.SendMessageResponse(task=a_task())


@pytest.mark.requirement("a2a.grpc-agents")
async def test_it_connects_where_egress_says_and_asks_again_when_the_connection_is_gone() -> None:
    async with grpc_agent(Servicer(done)) as agent:
        url = f"http://agent.example:{agent.port}"
        closed = GrpcClient(settings(url, EgressRules()), getaddrinfo=resolver("127.0.0.1"))
        async with client(closed) as made:
            assert await refused(made, request(url)) == "egress_denied"
        rebound = GrpcClient(settings(url), getaddrinfo=resolver("127.0.0.1", "169.254.169.254"))
        async with client(rebound) as made:
            assert (await answered(made, request(url)))["result"]["task"]["id"] == "t-1"
            assert agent.metadata[-1].get("authorization") is None
            await agent.server.stop(None)
            codes = {await refused(made, request(url)) for _ in range(2)}
            assert "egress_denied" in codes <= {"egress_denied", "upstream_died"}


@pytest.mark.requirement("a2a.grpc-agents")
async def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()

    async with raw_server(behave) as server:
        url = f"http://127.0.0.1:{server.port}"
        short = replace(settings(url), timeouts=UpstreamTimeouts(connect_s=0.2))
        async with client(GrpcClient(short)) as made:
            assert await refused(made, request(url)) == "upstream_unreachable"
    async with client(GrpcClient(settings(url))) as made:
        assert await refused(made, request(url)) == "upstream_unreachable"


@pytest.mark.requirement("invariant.no-redirects-no-proxies")
@pytest.mark.requirement("a2a.grpc-agents")
async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with grpc_agent(Servicer(done)) as agent:
        url = f"http://agent.example:{agent.port}"
        async with client(GrpcClient(settings(url), getaddrinfo=resolver("127.0.0.1"))) as made:
            assert "result" in await answered(made, request(url))


def certificate(host: str) -> tuple[bytes, bytes]:
    """Return a key and a certificate for `host` that vouches for itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    return key.private_bytes(pem, form, plain), made.public_bytes(pem)


@pytest.mark.requirement("a2a.grpc-agents")
async def test_whoever_serves_there_proves_to_be_the_host() -> None:
    key, chain = certificate("agent.example")
    credentials = grpc.ssl_server_credentials([(key, chain)])
    async with grpc_agent(Servicer(done), credentials) as agent:
        for host, roots, expected in (
            ("agent.example", chain, None),
            ("other.example", chain, "upstream_unreachable"),
            ("agent.example", certificate("agent.example")[1], "upstream_unreachable"),
        ):
            url = f"https://{host}:{agent.port}"
            made = GrpcClient(settings(url), roots=roots, getaddrinfo=resolver("127.0.0.1"))
            async with client(made):
                if expected is None:
                    assert "result" in await answered(made, request(url))
                else:
                    assert await refused(made, request(url)) == expected, host


def status(code: Any, *reasons: str, domain: str = "a2a-protocol.org") -> tuple[tuple[str, bytes]]:
    found = status_pb2.Status(code=code.value[0])
    for reason in reasons:
        found.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain))
    return (("grpc-status-details-bin", found.SerializeToString()),)


@pytest.mark.requirement("a2a.grpc-agents")
@pytest.mark.parametrize(
    ("code", "trailing", "http_status", "rpc_code", "text"),
    [
        ("NOT_FOUND", ("TASK_NOT_FOUND",), 200, -32001, "as told"),
        ("FAILED_PRECONDITION", ("VERSION_NOT_SUPPORTED",), 200, -32009, "as told"),
        ("INVALID_ARGUMENT", ("UNHEARD_OF",), 200, -32602, "as told"),
        ("INVALID_ARGUMENT", None, 200, -32602, "as told"),
        ("UNIMPLEMENTED", None, 200, -32004, "as told"),
        ("INTERNAL", None, 200, -32603, "the agent failed with the gRPC status INTERNAL"),
        ("UNAVAILABLE", (), 200, -32603, "the agent failed with the gRPC status UNAVAILABLE"),
        ("UNAUTHENTICATED", None, 401, -32603, "the agent failed with the gRPC status UNAUTHENTICATED"),
        ("PERMISSION_DENIED", None, 403, -32603, "the agent failed with the gRPC status PERMISSION_DENIED"),
        ("RESOURCE_EXHAUSTED", None, 429, -32603, "the agent failed with the gRPC status RESOURCE_EXHAUSTED"),
    ],
)  # fmt: skip
async def test_a_status_is_the_error_that_says_the_same(
    code: str, trailing: tuple[str, ...] | None, http_status: int, rpc_code: int, text: str
) -> None:
    told = getattr(grpc.StatusCode, code)

    async def say(request: Any, context: Any) -> None:
        del request
        await context.abort(told, "as told", () if trailing is None else status(told, *trailing))

    async with grpc_agent(Servicer(say)) as agent:
        url = f"http://127.0.0.1:{agent.port}"
        async with client(GrpcClient(settings(url))) as made:
            response = await made.send(request(url), timeout_s=30)
            body = json.loads(await response.read(100_000))
            assert (response.status, body["id"], body["error"]["code"]) == (http_status, 7, rpc_code)
            assert body["error"]["message"] == text
            reasons = [one["reason"] for one in body["error"].get("data", [])]
            assert reasons == list(trailing or ())


@pytest.mark.requirement("a2a.grpc-agents")
async def test_what_only_grpc_says_is_a_failure_of_the_upstream() -> None:
    waiting = anyio.Event()

    async def say(request: Any, context: Any) -> Any:
        text = request.message.parts[0].text
        if text == "gone":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if text == "wait":
            waiting.set()
            await anyio.sleep_forever()
        return a2a_pb2.SendMessageResponse(task=a_task("t" * 5000))

    async with grpc_agent(Servicer(say)) as agent:
        url = f"http://127.0.0.1:{agent.port}"
        async with client(GrpcClient(settings(url, max_result=4096, max_connections=1))) as made:
            assert await refused(made, request(url, message("gone"))) == "upstream_died"
            assert await refused(made, request(url, message("big"))) == "upstream_too_large"
            assert await refused(made, request(url, message("wait")), 0.2) == "upstream_timeout"
            held = asyncio.ensure_future(made.send(request(url, message("wait")), timeout_s=30))
            waiting = anyio.Event()
            await waiting.wait()
            assert await refused(made, request(url)) == "upstream_busy"
            await made.aclose()
            with pytest.raises(UpstreamFailed) as caught:
                await held
            assert "removed" in caught.value.message
            assert await refused(made, request(url)) == "upstream_unreachable"


@pytest.mark.requirement("a2a.grpc-agents")
async def test_a_request_larger_than_the_agent_takes_is_its_refusal_and_no_failure() -> None:
    async with grpc_agent(Servicer(done)) as agent:
        url = f"http://127.0.0.1:{agent.port}"
        async with client(GrpcClient(settings(url))) as made:
            response = await made.send(request(url, message("x" * 5_000_000)), timeout_s=30)
            assert response.status == 429


@pytest.mark.requirement("a2a.grpc-agents")
async def test_a_stream_has_a_size_and_its_first_refusal_is_an_answer() -> None:
    async def say(request: Any, context: Any) -> Any:
        if request.message.parts[0].text == "no":
            await context.abort(
                grpc.StatusCode.NOT_FOUND, "no task", status(grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
            )
        for _ in range(request.message.parts[0].text == "much" and 100):
            yield a2a_pb2.StreamResponse(task=a_task())
        if request.message.parts[0].text == "late":
            yield a2a_pb2.StreamResponse(task=a_task())
            await context.abort(
                grpc.StatusCode.INTERNAL, "at /srv/agent.py", status(grpc.StatusCode.INTERNAL, "BROKEN")
            )

    async with grpc_agent(Servicer(say)) as agent:
        url = f"http://127.0.0.1:{agent.port}"
        async with client(GrpcClient(settings(url, max_stream=2000))) as made:

            async def stream(text: str) -> HttpResponse:
                return await made.send(request(url, message(text), "SendStreamingMessage"), timeout_s=30)

            no = await stream("no")
            assert (no.headers[b"content-type"], json.loads(await no.read(9999))["error"]["code"]) == (
                b"application/json",
                -32001,
            )
            nothing = await stream("")
            assert (nothing.headers[b"content-type"], await nothing.read(9999)) == (b"text/event-stream", b"")
            with pytest.raises(UpstreamFailed) as caught:
                await (await stream("much")).read(10_000_000)
            assert caught.value.code == "upstream_too_large"
            late = (await (await stream("late")).read(9999)).decode()
            assert (late.count("data:"), "-32603" in late, "/srv" in late) == (2, True, False)


@pytest.mark.requirement("a2a.grpc-agents")
async def test_what_protobuf_does_not_know_does_not_pass_and_what_has_no_form_is_refused() -> None:
    seen: list[Any] = []

    async def say(request: Any, context: Any) -> Any:
        del context
        seen.append(request)
        return a2a_pb2.SendMessageResponse(task=a_task())

    async with grpc_agent(Servicer(say)) as agent:
        url = f"http://127.0.0.1:{agent.port}"
        async with client(GrpcClient(settings(url))) as made:
            params = message("x", novel=1, metadata={"deep": {"list": [1, None, "ü"]}}) | {"more": True}
            carried = [(b"A2A-Extensions", b"urn:x"), (b"x-api-key", b"k")]
            assert "result" in await answered(made, request(url, params, headers=carried))
            assert seen[0].message.metadata["deep"]["list"][2] == "ü"
            assert (agent.metadata[0]["a2a-extensions"], agent.metadata[0]["x-api-key"]) == ("urn:x", "k")
            deep: Any = "x"
            for _ in range(200):
                deep = [deep]
            for bad in (message("x", parts="no"), message("x", role=[]), [1], message("x", metadata={"deep": deep})):
                with pytest.raises(BadRequest) as caught:
                    await made.send(request(url, bad), timeout_s=30)
                assert caught.value.code == "invalid_params"
            for name, value in (
                (b"a2a-extensions", "ü".encode()),
                (b"x", b"a\r\nb: c"),
                (b"grpc-timeout", b"1S"),
                (b"a b", b""),
            ):
                assert await refused(made, request(url, headers=[(name, value)])) == "upstream_misconfigured"
            assert len(seen) == 1


@pytest.mark.requirement("a2a.grpc-agents")
async def test_without_the_extra_the_operator_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)  # as it is where nobody installed it
    entry = "  worker: {kind: a2a, url: 'https://agent.example', binding: grpc}\n  time:"
    [error] = errors_of(tmp_path, MINIMAL.replace("  time:", entry))
    assert "upstreams.worker.binding" in str(error)
    assert "pip install agent-gateway-server[grpc]" in str(error)

    def never() -> GrpcClient:
        raise AssertionError

    lone = AgentClient(HttpPool(), never)
    with pytest.raises(UpstreamFailed) as caught:
        await lone.send(request("http://127.0.0.1:9"), timeout_s=5)
    assert (caught.value.code, "agent-gateway-server[grpc]" in caught.value.hint) == ("upstream_misconfigured", True)
    await lone.aclose()
