"""Plan: from an operation and a model's arguments to the one HTTP request that says so.

Values only. The arguments have passed the tool's schema; what is refused here is what no schema can
see: a value that would change the path, end a header, or go where no operator meant it to.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from context_mesh.openapi.model import ABSENT, Argument, MediaType, Operation, Parameter
from context_mesh.wire.address import MAX_URL_CHARS, Site, base_of, path_of
from context_mesh.wire.body import encode_body
from context_mesh.wire.media import bare, kind_of
from context_mesh.wire.spelling import BadArgument, compact_json, escaped, members_of, text_of
from context_mesh.wire.style import in_cookie, in_header, in_path, in_query

MAX_HEADER_CHARS: Final = 8 * 1024

NEVER_FROM_A_MODEL: Final = frozenset(
    {
        "accept", "accept-encoding", "authorization", "connection", "content-encoding", "content-length",
        "content-type", "cookie", "expect", "forwarded", "host", "keep-alive", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via", "x-forwarded-for",
        "x-forwarded-host", "x-forwarded-proto", "x-http-method-override", "x-original-url", "x-real-ip",
        "x-rewrite-url",
    }
)  # fmt: skip
"""Headers that are the gateway's own, or that proxies and frameworks believe: no argument sets one."""

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_NOT_IN_HEADER: Final = re.compile(r"[\x00-\x1f\x7f]")
_ACCEPTED: Final = 5  # media types that an `Accept` names


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential and where it goes, as the broker gave it; never from an argument. In a `body`: one of its fields."""

    location: Literal["header", "query", "cookie", "body"]
    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Planned:
    """One request, ready to be sent. `url` is absolute and escaped; header values are as they go out."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Placing:
    """Where the values of one call go.

    arguments       of the tool, fixed values included
    may_hold_slash  path parameters whose value may hold `/`
    """

    site: Site
    arguments: Sequence[Argument]
    may_hold_slash: frozenset[str] = frozenset()


def plan(operation: Operation, values: Mapping[str, object], placing: Placing, secrets: Sequence[Secret]) -> Planned:
    """Return the request for one call.

    values  the tool's arguments by name, as the model gave them
    Raises `BadArgument`, or `UpstreamUnreachable` for a server that nobody registered.
    """
    given = _given(placing.arguments, values, secrets)
    path = path_of(operation.path, _path_values(given.parameters), may_hold_slash=placing.may_hold_slash)
    query = _query(operation, given.parameters, secrets)
    url = base_of(operation, placing.site) + path + (f"?{query}" if query else "")
    if len(url) > MAX_URL_CHARS:
        raise BadArgument(f"the arguments make a URL of more than {MAX_URL_CHARS} characters")
    body, content_type = b"", ""
    if operation.body is not None and given.has_body:
        body, content_type = encode_body(operation.body.media, given.body)
    elif operation.body is not None and operation.body.required and _is_flat(placing.arguments):
        body, content_type = encode_body(operation.body.media, {})
    headers = [("accept", accept_of(operation)), *_headers(given.parameters, secrets)]
    if content_type:
        headers.append(("content-type", content_type))
    return Planned(operation.method, url, tuple(headers), body)


# --- which value is which --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Given:
    parameters: tuple[tuple[Parameter, object], ...]
    body: object = ABSENT

    @property
    def has_body(self) -> bool:
        return self.body is not ABSENT


def _is_flat(arguments: Sequence[Argument]) -> bool:
    """Say whether the body's fields are arguments: a required body of which none is given is an empty object."""
    return any(argument.field is not None for argument in arguments)


def _given(arguments: Sequence[Argument], values: Mapping[str, object], secrets: Sequence[Secret]) -> _Given:
    parameters: list[tuple[Parameter, object]] = []
    members: dict[str, object] = {}
    body: object = ABSENT
    taken = {(secret.location, secret.name.lower()) for secret in secrets}
    for argument in arguments:
        value = values.get(argument.name, ABSENT) if argument.fixed is ABSENT else argument.fixed
        if value is ABSENT:
            continue
        parameter = argument.parameter
        if parameter is not None:
            is_secret = (parameter.location, parameter.name.lower()) in taken
            if not is_secret and value is not None:
                parameters.append((parameter, value))
        elif argument.field is not None:
            members[argument.field.name] = value
        else:
            body = value
    if members:
        body = {**(members_of(body) or {}), **members} if body is not ABSENT else members
    hidden = {secret.name: secret.value for secret in secrets if secret.location == "body"}
    held: object = {} if body is ABSENT else body
    if hidden and isinstance(held, Mapping):
        body = {**cast("Mapping[str, object]", held), **hidden}
    return _Given(tuple(parameters), body)


# --- the parts -------------------------------------------------------------------------------


def _as_text(parameter: Parameter, value: object) -> str:
    """Return the one text of a parameter with `content`."""
    return compact_json(value) if kind_of(parameter.media_type) == "json" else text_of(value)


def _path_values(given: Sequence[tuple[Parameter, object]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for parameter, value in given:
        if parameter.location == "path":
            if parameter.media_type:
                found[parameter.name] = escaped(_as_text(parameter, value))
            else:
                found[parameter.name] = in_path(parameter.name, value, parameter.style, explode=parameter.explode)
    return found


def _query(operation: Operation, given: Sequence[tuple[Parameter, object]], secrets: Sequence[Secret]) -> str:
    members: list[str] = [operation.query] if operation.query else []
    for parameter, value in given:
        if parameter.location == "querystring":
            members += _whole_query(parameter, value)
        elif parameter.location == "query" and parameter.media_type:
            members.append(f"{escaped(parameter.name)}={escaped(_as_text(parameter, value))}")
        elif parameter.location == "query":
            members += in_query(
                parameter.name, value, parameter.style, explode=parameter.explode,
                keeps_reserved=parameter.allow_reserved,
            )  # fmt: skip
    members += [f"{escaped(one.name)}={escaped(one.value)}" for one in secrets if one.location == "query"]
    return "&".join(members)


def _whole_query(parameter: Parameter, value: object) -> list[str]:
    """Return the query that one parameter fills as a whole (3.2, `in: querystring`)."""
    if kind_of(parameter.media_type or "application/x-www-form-urlencoded") == "form":
        media = MediaType("application/x-www-form-urlencoded", parameter.schema)
        text = encode_body(media, value)[0].decode()
        return [text] if text else []
    return [escaped(_as_text(parameter, value))]


def _headers(given: Sequence[tuple[Parameter, object]], secrets: Sequence[Secret]) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    cookies: list[str] = []
    for parameter, value in given:
        if parameter.location == "header" and parameter.name.lower() not in NEVER_FROM_A_MODEL:
            text = _as_text(parameter, value) if parameter.media_type else in_header(value, explode=parameter.explode)
            if text or value == "":
                headers.append((_header_name(parameter.name), _header_value(parameter.name, text)))
        elif parameter.location == "cookie":
            if parameter.media_type:
                cookies.append(f"{escaped(parameter.name)}={escaped(_as_text(parameter, value))}")
            else:
                cookies += in_cookie(parameter.name, value, parameter.style, explode=parameter.explode)
    for secret in secrets:
        if secret.location == "header":
            headers.append((_header_name(secret.name), _header_value(secret.name, secret.value)))
        elif secret.location == "cookie":
            cookies.append(f"{secret.name}={secret.value}")
    if cookies:
        headers.append(("cookie", _header_value("cookie", "; ".join(cookies))))
    return headers


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise BadArgument("a header's name holds characters that headers lack")
    return name.lower()


def _header_value(name: str, text: str) -> str:
    """Return the value; INVARIANT: it ends no header."""
    if _NOT_IN_HEADER.search(text) or len(text) > MAX_HEADER_CHARS:
        raise BadArgument(f"`{name}` holds a line break or control character, or more than {MAX_HEADER_CHARS}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadArgument(f"`{name}` is not Unicode text") from None
    return text


def accept_of(operation: Operation) -> str:
    """Return the `Accept` of an operation: what its good answers are declared to be, preferred ones first."""
    names: list[str] = []
    for response in operation.responses:
        if response.status.startswith("2") or response.status == "default":
            names += [bare(media.name) for media in response.media if media.name]
    known = list(dict.fromkeys(names))[:_ACCEPTED]
    if not known:
        return "application/json, */*;q=0.5"
    return ", ".join([known[0], *(f"{name};q=0.5" for name in known[1:])])
