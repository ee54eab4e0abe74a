"""Contracts: what an approved tool promises, and what the newest description would make of it.

Tools are compared, not documents. Two questions: does the call still work, and is it still safe? What is
served is the approved contract whatever a description says today; a verdict says what is to be done.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from urllib.parse import urlsplit

from context_mesh.openapi.media import is_json
from context_mesh.openapi.members import mapping
from context_mesh.openapi.model import Argument, Operation
from context_mesh.openapi.naming import snake
from context_mesh.openapi.tool import Tool
from context_mesh.schema_changes import Change, SchemaChanges, words

_SENSITIVE: Final = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase|port(?:_number|_no)?)|secret|token|api_?key|private_?key|credentials?|cookie|session_?id|"
    r"ssn|social_?security(?:_number)?|tax_?id|national_?id|credit_?card|card_?number|cvv|cvc|iban|bank_?account|"
    r"account_?number|routing_?number|date_?of_?birth|birth_?date|dob|diagnosis|medical|salary|otp|pin)(?:_|$|s$)"
)
_HIDDEN_HOST: Final = re.compile(r"\{[^{}]*\}")


class Verdict(IntEnum):
    """What to do, the gravest last."""

    QUIET = 0  # publish, log
    NOTIFY = 1  # publish as a new revision, tell the owner
    HOLD = 2  # serve what was approved until someone approves this
    WITHDRAW = 3  # the operation is gone: serve it no longer once the upstream says so too (404, 410)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One tool, before and after. `before` None: it is new, and stays unpublished until approved."""

    name: str
    verdict: Verdict
    changes: tuple[Change, ...] = ()
    before: Tool | None = None
    after: Tool | None = None

    @property
    def served(self) -> Tool | None:
        """Return the contract to serve: the new one only where nothing is held."""
        if self.before is None:
            return None
        return self.after if self.verdict < Verdict.HOLD else self.before


def compare_all(before: Sequence[Tool], after: Sequence[Tool]) -> tuple[Comparison, ...]:
    """Return a comparison of every approved tool, then of every new one.

    An operation is found again by its method and path, else by its id: then it moved, which holds it.
    """
    by_key = {tool.operation.key: tool for tool in after}
    by_id = _by_id(after)
    met: set[str] = set()
    found: list[Comparison] = []
    for tool in before:
        now = by_key.get(tool.operation.key)
        if now is None and tool.operation.operation_id:
            now = by_id.get(tool.operation.operation_id)
        if now is not None:
            met.add(now.operation.key)
        found.append(compare(tool, now))
    new = [tool for tool in after if tool.operation.key not in met]
    return (*found, *(Comparison(tool.name, Verdict.QUIET, after=tool) for tool in new))


def compare(before: Tool, after: Tool | None) -> Comparison:
    """Return what became of one approved tool; `after` None: the operation is gone."""
    if after is None:
        gone = Change("breaking", "", "the operation is gone")
        return Comparison(before.name, Verdict.WITHDRAW, (gone,), before)
    changes = (
        *_request(before.operation, after.operation),
        *_safety(before, after),
        *_arguments(before, after),
        *SchemaChanges(before.full_schema, after.full_schema).all(),
        *_answers(before, after),
        *_text(before, after),
    )
    grave = {change.effect for change in changes}
    verdict = Verdict.HOLD if "breaking" in grave else Verdict.NOTIFY if "additive" in grave else Verdict.QUIET
    return Comparison(before.name, verdict, changes, before, after)


def _by_id(tools: Sequence[Tool]) -> Mapping[str, Tool]:
    found: dict[str, Tool] = {}
    twice: set[str] = set()
    for tool in tools:
        name = tool.operation.operation_id
        twice |= {name} if name in found else set()
        found[name] = tool
    return {name: tool for name, tool in found.items() if name not in twice}


def _request(old: Operation, new: Operation) -> Iterator[Change]:
    if (old.method, old.path, old.query) != (new.method, new.path, new.query):
        yield Change("breaking", "", f"{new.key[:200]} was {old.key[:200]}")
    yield from _servers(old, new)
    if _needs(old) != _needs(new):
        yield Change("breaking", "", "asks for other credentials")
    one, other = old.body, new.body
    if (one is None) != (other is None):
        yield Change("breaking" if one else "additive", "", "has no body now" if one else "has a body now")
    elif one is not None and other is not None and one.media.full != other.media.full:
        yield Change("breaking", "", f"sends {other.media.full[:100]} and sent {one.media.full[:100]}")
    gone, more = _answered(old) - _answered(new), _answered(new) - _answered(old)
    if gone:
        effect = "breaking" if any(is_json(name) for name in gone) else "additive"
        yield Change(effect, "", f"answers {', '.join(sorted(gone))} no longer")
    elif more:
        yield Change("additive", "", f"may answer {', '.join(sorted(more))}")


def _servers(old: Operation, new: Operation) -> Iterator[Change]:
    olds, news = [server.url for server in old.servers], [server.url for server in new.servers]
    if olds == news:
        return
    if [_origin(url) for url in olds[:1]] != [_origin(url) for url in news[:1]]:
        yield Change("breaking", "", "is sent to another server")
    else:
        yield Change("additive", "", "names other servers")


def _origin(url: str) -> str:
    """Return what decides where a call goes: everything of a server's address but its case."""
    try:
        parts = urlsplit(_HIDDEN_HOST.sub("x", url))
    except ValueError:  # a bracket that is no IPv6 address
        return url
    return f"{parts.scheme}://{parts.netloc}{parts.path}".lower().rstrip("/")


def _needs(operation: Operation) -> set[frozenset[tuple[str, ...]]]:
    return {
        frozenset(
            (need.scheme.kind, need.scheme.location, need.scheme.parameter, need.scheme.scheme, *sorted(need.scopes))
            for need in needs
        )
        for needs in operation.security
    }


def _answered(operation: Operation) -> set[str]:
    return {
        media.name for response in operation.responses if response.status.startswith("2") for media in response.media
    }


def _safety(before: Tool, after: Tool) -> Iterator[Change]:
    one, other = before.annotations, after.annotations
    if (one.is_read_only, one.is_destructive) != (other.is_read_only, other.is_destructive):
        yield Change("breaking", "", f"is graded {after.risk.name.lower()} and was {before.risk.name.lower()}")
    elif before.risk != after.risk or one != other:
        yield Change("additive", "", f"is graded {after.risk.name.lower()} and was {before.risk.name.lower()}")


def _arguments(before: Tool, after: Tool) -> Iterator[Change]:
    """Yield arguments that go elsewhere, or travel otherwise; missing and new ones are the schema's."""
    olds, news = _places(before.arguments), _places(after.arguments)
    for name in olds.keys() & news.keys():
        if olds[name] != news[name]:
            yield Change("breaking", name, "travels otherwise")


def _places(arguments: Sequence[Argument]) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for argument in arguments:
        parameter, part = argument.parameter, argument.field
        place: tuple[object, ...] = ("body",)
        name = argument.name
        if parameter is not None:
            how = (parameter.style, parameter.explode, parameter.allow_reserved, parameter.media_type)
            place = (parameter.location, parameter.name, *how)
            name = name or f"{parameter.location} {parameter.name}"
        elif part is not None:
            place = ("field", part.name, part.is_file, part.encoding)
            name = name or f"field {part.name}"
        found[name] = (*place, repr(argument.fixed))
    return found


def _answers(before: Tool, after: Tool) -> Iterator[Change]:
    olds, news = set(before.answer_fields), set(after.answer_fields)
    for name in sorted(olds - news):
        yield Change("additive", f"answer.{name}", "is gone")
    for name in sorted(news - olds):
        is_sensitive = bool(_SENSITIVE.search(snake(name)))
        yield Change(
            "breaking" if is_sensitive else "cosmetic", f"answer.{name}", "is new" + " and sensitive" * is_sensitive
        )
    one, other = _outlined(before), _outlined(after)
    for name in sorted(one.keys() & other.keys()):
        if one[name] != other[name]:
            yield Change("additive", f"answer.{name}", "has another type")


def _outlined(tool: Tool) -> dict[str, str]:
    properties = mapping((tool.output_schema or {}).get("properties"))
    return {name: repr(mapping(part).get("type")) for name, part in properties.items()}


def _text(before: Tool, after: Tool) -> Iterator[Change]:
    yield from words(before.description, after.description, "")
    if before.title != after.title or before.example != after.example:
        yield Change("cosmetic", "", "has another title or example")
    if before.toolsets != after.toolsets:
        yield Change("additive", "", "is in other toolsets")
