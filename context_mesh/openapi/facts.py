"""The description of a tool: one sentence of the API's own, and the facts that a caller should know before."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from context_mesh.openapi.model import Operation
from context_mesh.openapi.prose import MAX_TOOL_CHARS, cut, first_sentence

_ENOUGH_CHARS: Final = 40
_ENOUGH_NEWS: Final = 4  # words of the description that the summary lacks
_WORD: Final = re.compile(r"[^\W_]{4,}")
_MAX_SCOPES: Final = 3
_PAGING: Final = (
    ("cursor", frozenset({"cursor", "after", "before", "page_token", "pagetoken", "next_token", "starting_after"})),
    ("page", frozenset({"page", "page_number", "pagenumber", "page_no"})),
    ("offset", frozenset({"offset", "skip", "start", "start_index", "startindex"})),
)


def describe(operation: Operation, scopes: Sequence[str]) -> str:
    """Return a tool's description: at most 300 characters, plain words, never empty."""
    sentence = operation.hints.description
    if sentence:
        sentence = first_sentence(sentence, MAX_TOOL_CHARS)
    else:
        sentence = _sentence(operation)
    facts = " ".join(_facts(operation, scopes))
    room = MAX_TOOL_CHARS - len(facts) - 2
    sentence = cut(sentence, max(room, _ENOUGH_CHARS)).rstrip()
    if facts and sentence[-1] not in ".!?…":
        sentence += "."
    return f"{sentence} {facts}".strip()


def title(operation: Operation, description: str) -> str:
    """Return a short name for people; an empty string where the description begins with it."""
    short = first_sentence(operation.hints.title or operation.summary, 60).rstrip(".")
    return "" if description.startswith(short) else short


def _sentence(operation: Operation) -> str:
    """Return the summary, and the description's first sentence where that says more than the summary does."""
    summary = first_sentence(operation.summary, MAX_TOOL_CHARS)
    more = first_sentence(operation.description, MAX_TOOL_CHARS)
    if not summary:
        return more or f"{operation.method} {cut(operation.path, 200)}"
    news = _stems(more) - _stems(summary)
    if len(summary) >= _ENOUGH_CHARS or len(news) < _ENOUGH_NEWS:
        return summary
    return f"{summary.rstrip('.')}: {more}"


def _stems(text: str) -> set[str]:
    """Return the words of a text that carry its meaning, roughly."""
    return {word[:5] for word in _WORD.findall(text.lower())}


def _facts(operation: Operation, scopes: Sequence[str]) -> Iterator[str]:
    if operation.deprecated:
        yield "Deprecated."
    if scopes:
        more = "…" if len(scopes) > _MAX_SCOPES else ""
        yield cut(f"Needs {', '.join(scopes[:_MAX_SCOPES])}{more}.", 100)
    names = {item.name.lower() for item in operation.parameters if item.location == "query"}
    kind = next((kind for kind, known in _PAGING if known & names), "")
    if kind and operation.method == "GET":
        yield f"Paged ({kind})."
    statuses = {response.status for response in operation.responses}
    if "202" in statuses and not statuses & {"200", "201"}:
        yield "Answers before it is done (202)."
