"""Embeddings from a server with OpenAI's `/v1/embeddings`, through egress. Vectors only help: without them words find.

Vectors of texts are kept by what they are of, so a reload asks for new tools only.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec

from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from gateway_policies.refusal import UpstreamFailed

MAX_TEXT_CHARS: Final = 1_000
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
MAX_NUMBERS: Final = 2_000_000  # in the vectors that are kept: 5 000 tools of 384 dimensions
MAX_DIMENSIONS: Final = 4_096

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingServer:
    """Where vectors come from: equal servers share what they gave."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    allow_private: bool = False
    timeout_s: float = 3.0
    batch: int = 64


class Embedder:
    """Gives vectors of unit length; raises a `Refusal` when its server does not answer well."""

    def __init__(self, server: EmbeddingServer) -> None:
        self.server = server
        self._kept: OrderedDict[bytes, Vector] = OrderedDict()
        self._numbers = 0

    async def query(self, text: str) -> Vector:
        """Return the vector of a search."""
        (vector,) = await self._asked([text[:MAX_TEXT_CHARS]])
        return vector

    async def texts(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vectors of texts, those known without asking; raises `UpstreamFailed` when they are too many."""
        short = [text[:MAX_TEXT_CHARS] for text in texts]
        keys = [sha256(text.encode("utf-8", "replace")).digest() for text in short]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        wanted = list({key: text for key, text in zip(keys, short, strict=True) if key not in found}.items())
        for at in range(0, len(wanted), self.server.batch):
            part = wanted[at : at + self.server.batch]
            vectors = await self._asked([text for _, text in part])
            if len(vectors[0]) * len(texts) > MAX_NUMBERS:
                raise UpstreamFailed(f"the vectors of {len(texts)} tools hold more than {MAX_NUMBERS} numbers")
            for (key, _), vector in zip(part, vectors, strict=True):
                found[key] = vector
                self._keep(key, vector)
        return [found[key] for key in keys]

    def _keep(self, key: bytes, vector: Vector) -> None:
        self._kept[key] = vector
        self._numbers += len(vector)
        while self._numbers > MAX_NUMBERS:
            _, gone = self._kept.popitem(last=False)
            self._numbers -= len(gone)

    async def _asked(self, texts: Sequence[str]) -> list[Vector]:
        server = self.server
        headers = [("content-type", "application/json"), ("accept", "application/json")]
        if server.key:
            headers.append(("authorization", f"Bearer {server.key}"))
        body = msgspec.json.encode({"model": server.model, "input": list(texts), "encoding_format": "float"})
        rules = EgressRules(allow_private=server.allow_private)
        async with ControlClient(rules, timeout_s=server.timeout_s) as client:
            response = await client.send("POST", server.url, headers=headers, body=body, max_bytes=MAX_ANSWER_BYTES)
        if response.status != 200:
            raise UpstreamFailed(f"the server of embeddings answers with status {response.status}")
        try:
            items = sorted(_ANSWER.decode(response.body).data, key=lambda item: item.index)
        except msgspec.DecodeError:
            raise UpstreamFailed("the server of embeddings answers with none") from None
        sizes = {len(item.embedding) for item in items}
        if [item.index for item in items] != list(range(len(texts))) or len(sizes) != 1 or max(sizes) > MAX_DIMENSIONS:
            raise UpstreamFailed("the server of embeddings answers with other vectors than were asked for")
        return [_unit(item.embedding) for item in items]


def _unit(vector: Sequence[float]) -> Vector:
    length = math.sqrt(math.fsum(one * one for one in vector))
    if not 0 < length < math.inf:
        raise UpstreamFailed("the server of embeddings answers with a vector that points nowhere")
    return tuple(one / length for one in vector)


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Item]


_ANSWER: Final = msgspec.json.Decoder(_Answer)
