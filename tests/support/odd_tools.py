"""Tools of a raw upstream that answer in every way: well, badly, in pieces, late or not at all."""

from collections.abc import Mapping

import orjson

from support.raw_upstream import Call, Tool, answer, echo, http, saying, text

SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _event(call: Call, **members: object) -> bytes:
    data = b"data: %b\n\n" % orjson.dumps({"jsonrpc": "2.0", "id": call.id, **members})
    return b"%x\r\n%b\r\n" % (len(data), data)


def _error(call: Call, code: int = -32602, status: bytes = b"200 OK") -> bytes:
    told = {"code": code, "message": "no", "data": 1}
    return http(orjson.dumps({"jsonrpc": "2.0", "id": call.id, "error": told}), status)


async def _dies(call: Call) -> None:
    call.peer.writer.transport.abort()


async def _dies_inside(call: Call) -> None:
    await call.peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
    call.peer.writer.transport.abort()


async def _hangs(call: Call) -> None:
    await call.peer.until_closed()


async def _slow_body(call: Call) -> None:
    whole = answer(call, text("x" * 100_000))
    await call.peer.say(whole[:70_000])
    await call.peer.say(whole[70_000:])


TOOLS: Mapping[str, Tool] = {
    "echo": echo,
    "failed": saying(lambda call: answer(call, {**text("oh no"), "isError": True})),
    "own_meta": saying(lambda call: answer(call, b'{"content":[],"_meta":{"big":123456789012345678901},"x":1.50}')),
    "no_type": saying(lambda call: answer(call, {"content": [], "extra": None})),
    "error": saying(_error),
    "unable": saying(lambda call: _error(call, -32021, b"400 Bad Request")),
    "garbage": saying(lambda _: http(b"hello")),
    "html": saying(lambda _: http(b"<p>", kind=b"text/html")),
    "broken": saying(lambda _: http(b"oh", status=b"500 Broken", kind=b"text/plain")),
    "busy": saying(lambda _: http(b"", status=b"503 Busy")),
    "denied": saying(lambda _: http(b"", status=b"401 No")),
    "no_object": saying(lambda call: answer(call, [1])),
    "half": saying(lambda call: answer(call, {**text("x"), "resultType": "input_required"})),
    "task": saying(lambda call: answer(call, {"resultType": "task", "taskId": "t", "status": "working", "ttlMs": 1})),
    "task_stream": saying(lambda call: SSE + _event(call, result={"resultType": "task", "taskId": "t"}) + b"0\r\n\r\n"),
    "other_id": saying(lambda _: http(b'{"jsonrpc":"2.0","id":"other","result":{}}')),
    "empty": saying(lambda _: http(b"")),
    "packed": saying(lambda call: answer(call, text("x")).replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")),
    "stream": saying(lambda call: SSE + _event(call, result=text("streamed")) + b"0\r\n\r\n"),
    "stream_error": saying(lambda call: SSE + _event(call, error={"code": -32602, "message": "no"}) + b"0\r\n\r\n"),
    "huge": saying(lambda call: answer(call, text("x" * 300_000))),
    "large": _slow_body,
    "dies": _dies,
    "dies_inside": _dies_inside,
    "hangs": _hangs,
    "dear": echo,
    "rare": echo,
    "secret": echo,
}
