"""A forwarder that changes nothing but what it is told to: bytes in, the same bytes out, as they come.

`python -m conformance.forwarder --to PORT [--header 'Name: value'] [--refuse legacy|modern]`
listens on a free loopback port and writes `PORT n` as its first line.

--header  is added to every request: the suite sends no credential
--refuse  turns the requests of one era away in the words of a server that never heard of it

A connection in is a connection out, so a client that leaves is seen to leave.
"""

import argparse
import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

MODERN: Final = "2026-07-28"
META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
_MAX_HEAD: Final = 64 * 1024
_MAX_BODY: Final = 16 * 1024 * 1024
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_VERSION: Final = re.compile(rb"\r\nmcp-protocol-version:[ \t]*([^\r]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rules:
    """Where requests go, and what is done to them."""

    port: int
    header: bytes = b""  # `Name: value\r\n`
    refuses: str = ""


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rules: Rules) -> None:
    """Carry one client's connection until either side ends it."""
    out: asyncio.StreamWriter | None = None
    back: asyncio.Task[None] | None = None
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(min(int(length[1]), _MAX_BODY)) if length else b""
            refusal = refusal_of(head, body, rules.refuses)
            if refusal is not None:
                writer.write(refusal)
                await writer.drain()
                continue
            if out is None:
                answers, out = await asyncio.open_connection("127.0.0.1", rules.port)
                back = asyncio.create_task(_pour(answers, writer))
            line, _, rest = head.partition(b"\r\n")
            out.write(b"%b\r\n%b%b%b" % (line, rules.header, rest, body))
            await out.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        for one in (out, writer):
            if one is not None:
                one.close()
        if back is not None:
            back.cancel()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def refusal_of(head: bytes, body: bytes, refuses: str) -> bytes | None:
    """Return the answer that turns a request away, None when it may pass."""
    if not refuses:
        return None
    message = _message(body)
    version = _VERSION.search(head)
    told = version[1].strip().decode("latin-1") if version else ""
    is_modern = told == MODERN or META_VERSION in _object(_object(message.get("params")).get("_meta"))
    if is_modern != (refuses == "modern"):
        return None
    if refuses == "modern":
        return _answer(b"400 Bad Request", None, {"code": -32000, "message": "Bad Request: Server not initialized"})
    if not head.startswith(b"POST "):
        return b"HTTP/1.1 405 Method Not Allowed\r\nallow: POST\r\ncontent-length: 0\r\n\r\n"
    data = {"supported": [MODERN], "requested": told or "none"}
    error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
    return _answer(b"400 Bad Request", message.get("id"), error)


def _message(body: bytes) -> Mapping[str, Any]:
    try:
        return _object(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}


def _object(value: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _answer(status: bytes, request_id: object, error: Mapping[str, object]) -> bytes:
    body = orjson.dumps({"jsonrpc": "2.0", "id": request_id, "error": error})
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
    return head + body


async def serve(rules: Rules) -> None:
    """Forward until this process is ended."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await forward(reader, writer, rules)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_MAX_HEAD)
    print(f"PORT {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--header", default="")
    parser.add_argument("--refuse", choices=["legacy", "modern"], default="")
    options = parser.parse_args()
    header = f"{options.header}\r\n".encode("latin-1") if options.header else b""
    asyncio.run(serve(Rules(options.to, header, options.refuse)))


if __name__ == "__main__":
    main()
