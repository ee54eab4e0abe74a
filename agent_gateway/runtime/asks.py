"""Questions to legacy clients that wait for a posted answer.

A question goes out on the stream of the call it belongs to, under an id of ours;
its answer comes back with a POST of its own, to whichever worker. Only the
principal and the session that were asked can answer, once.
"""

import asyncio
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from itertools import count
from typing import Final

import msgspec
from msgspec import Raw

from agent_gateway.ports import Progressed
from agent_gateway.runtime.counting import Tally
from gateway_policies.refusal import TooMuch
from mcp_registry.protocol.envelope import Response

MAX_PER_SESSION: Final = 64
MAX_IN_ALL: Final = 10_000
_PREFIX: Final = "agent-gateway/"


class Asks:
    """The open questions of this worker.

    node  which worker this is, as ids say it
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self._numbers = count(1)
        self._open: dict[tuple[Hashable, str], asyncio.Future[Response]] = {}
        self._progressed: dict[tuple[Hashable, str], Progressed] = {}
        self._tally = Tally()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def open(
        self, session: Hashable, progressed: Progressed | None = None
    ) -> "Generator[tuple[str, asyncio.Future[Response]]]":
        """Yield the id of a new question and the future of its answer; it is closed with the block.

        session     (principal, session id)
        progressed  hears how the client gets on; None: nobody wants to know

        Raises `TooMuch` when too many are open.
        """
        if len(self._open) >= MAX_IN_ALL or not self._tally.enter(session, MAX_PER_SESSION):
            raise TooMuch("too many questions to this client are open")
        ask_id = f"{_PREFIX}{self.node}/{next(self._numbers)}"
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._open[session, ask_id] = future
        if progressed is not None:
            self._progressed[session, ask_id] = progressed
        try:
            yield ask_id, future
        finally:
            del self._open[session, ask_id]
            self._progressed.pop((session, ask_id), None)
            self._tally.leave(session)

    def answer(self, session: Hashable, response: Response) -> bool:
        """Give an answer to its question; return whether there is one of this session that waits."""
        ask_id = _text(response.id)
        future = None if ask_id is None else self._open.get((session, ask_id))
        if future is None or future.done():
            return False
        future.set_result(response)
        return True

    def progress(self, session: Hashable, token: bytes, params: Raw) -> None:
        """Pass on how the client of this session gets on with a question; what names none of its own is dropped."""
        progressed = self._progressed.get((session, _text(token) or ""))
        if progressed is not None:
            progressed(params)


def node_of(id_raw: bytes | None) -> str:
    """Return the worker whose question an id (or a progress token) names, empty when it names none of ours."""
    text = _text(id_raw) or ""
    return text.removeprefix(_PREFIX).partition("/")[0] if text.startswith(_PREFIX) else ""


def _text(id_raw: bytes | None) -> str | None:
    try:
        return _STRING.decode(id_raw or b"null")
    except msgspec.DecodeError:
        return None


_STRING: Final = msgspec.json.Decoder(str)
