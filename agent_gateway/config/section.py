"""Sections: what every part of the configuration has in common, and the kinds of words in it."""

from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

MAX_URL: Final = 2048


class Section(BaseModel):
    """A frozen part of the configuration that knows all its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, title=None)


def refuse(message: str, hint: str = "") -> PydanticCustomError:
    """Return the error a validator raises; the hint travels in its context."""
    return PydanticCustomError("refused", "{message}", {"message": message, "hint": hint})


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise refuse("this is not a URL", "write `https://host/path`") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine or _has_blanks(text):
        raise refuse("this is not an http or https URL", "write `https://host/path`")
    if parts.username is not None or parts.password is not None:
        raise refuse("a URL holds no user or password", "put the secret under `auth`, as `env:NAME` or `file:path`")
    if parts.fragment or "#" in text:
        raise refuse("a URL here has no fragment (`#…`)")
    _refuse_secret_query(parts)
    return text


def _has_blanks(text: str) -> bool:
    return any(character.isspace() or not character.isprintable() or character == "\\" for character in text)


def _refuse_secret_query(parts: SplitResult) -> None:
    names = [member.partition("=")[0].lower() for member in parts.query.split("&")]
    if any(is_secret_name(name) for name in names):
        raise refuse("this URL seems to hold a secret in its query", "send it as a header: `auth: {kind: header, …}`")


def is_secret_name(name: str) -> bool:
    """Say whether a setting of this name usually holds a secret."""
    words = name.lower().replace("-", "_").split("_")
    joined = "".join(words)
    return not {"token", "secret", "password", "passwd", "key", "apikey", "credential", "credentials"}.isdisjoint(
        words
    ) or joined.endswith(("apikey", "accesskey", "secretkey", "accesstoken"))


def _origin(text: str) -> str:
    parts = urlsplit(_http_url(text))
    if parts.path not in ("", "/") or parts.query:
        raise refuse("this is an origin: scheme, host and port only", "leave the path out")
    return text.rstrip("/")


def _base_url(text: str) -> str:
    if urlsplit(_http_url(text)).query:
        raise refuse("this URL has no query (`?…`)")
    return text.rstrip("/")


def is_loopback(host: str) -> bool:
    """Say whether `host`, a name or an address, can only mean this machine."""
    bare = host.strip("[]").rstrip(".").lower()
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return bare == "localhost" or bare.endswith(".localhost")


def is_same_origin(one: str, other: str) -> bool:
    """Say whether two http URLs have scheme, host and port in common."""
    first, second = urlsplit(one), urlsplit(other)
    ports = {"http": 80, "https": 443}
    return (first.scheme, first.hostname, first.port or ports.get(first.scheme)) == (
        second.scheme, second.hostname, second.port or ports.get(second.scheme),
    )  # fmt: skip


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
"""Of a tenant, team, issuer, upstream, toolset, budget or rate: part of URLs and tool names."""

AgentId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]

Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")]

UriPattern = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,2048}$")]
"""A URI, a URI template, or a pattern of them with `*` and `?`."""
Pattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*?-]{1,128}$")]
"""A name in which `*` stands for any run of characters and `?` for one."""

Label = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of free text, for people."""

HttpUrl = Annotated[str, Field(max_length=MAX_URL, json_schema_extra={"format": "uri"}), AfterValidator(_http_url)]
Origin = Annotated[str, Field(max_length=MAX_URL, json_schema_extra={"format": "uri"}), AfterValidator(_origin)]
BaseUrl = Annotated[str, Field(max_length=MAX_URL, json_schema_extra={"format": "uri"}), AfterValidator(_base_url)]
HostName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9.:_\[\]-]+$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
FilePath = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]
"""A path; relative ones start at the configuration file."""
