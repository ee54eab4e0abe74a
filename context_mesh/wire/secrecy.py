"""Secrecy: an API that repeats the gateway's credential does not hand it to the caller.

Redirects repeat the query, echoes and error pages repeat headers: what was sent as a secret is
taken out of an answer before anything is read from it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote, quote_plus

from context_mesh.wire.plan import Secret
from context_mesh.wire.read import Answer

HIDDEN: Final = "[secret]"
MIN_CHARS: Final = 6
"""A shorter secret is left: taking out every `x` would spoil answers, and whoever may guess needs no echo."""


def without(answer: Answer, secrets: Sequence[Secret]) -> Answer:
    """Return an answer in whose body, headers and URL no secret stands: plain, escaped, or without its scheme."""
    # The longest first: one may be a part of another.
    texts = sorted({text for secret in secrets for text in _spellings(secret.value)}, key=len, reverse=True)
    if not texts:
        return answer
    body = answer.body
    for text in texts:
        body = body.replace(text.encode("utf-8", "replace"), HIDDEN.encode())
    headers = {name: _hidden(value, texts) for name, value in answer.headers.items()}
    return replace(answer, body=body, headers=headers, url=_hidden(answer.url, texts))


def _spellings(value: str) -> Iterator[str]:
    for text in (value, value.rpartition(" ")[2]):
        if len(text) >= MIN_CHARS:
            yield from (text, quote(text, safe="", errors="replace"), quote_plus(text, errors="replace"))


def _hidden(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text
