"""An API as values: its operations, how each part of one travels, and where a tool's arguments go.

Versions 2.0 to 3.2 of OpenAPI are one model here. Schemas stay as they were written, with the
place that their references start from; `schemas` converts them when a tool needs one. Reading a
description is `load`, making tools `tools`; building a request from one is left to others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from context_mesh.openapi.files import Files

Location = Literal["path", "query", "header", "cookie", "querystring"]
Style = Literal[
    "simple",  # a,b        path and header
    "label",  # .a.b        path
    "matrix",  # ;p=a;p=b   path
    "form",  # p=a&p=b      query and cookie
    "spaceDelimited",  # p=a%20b
    "pipeDelimited",  # p=a|b
    "tabDelimited",  # p=a%09b   2.0 only (`tsv`)
    "deepObject",  # p[k]=v
    "cookie",  # p=a; p=b   3.2, nothing is percent-encoded
]
Severity = Literal["error", "warning", "note"]
SchemeKind = Literal["apiKey", "http", "oauth2", "openIdConnect", "mutualTLS", "unknown"]


class _Absent:
    """The type of `ABSENT`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()  # no value, where None would be JSON's null


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know about a description.

    severity  error: an operation, or a part that it needs, was left out; warning: read otherwise than
              written; note: said by the description, not acted on
    code      stable, for programs: `dangling-reference`, `no-path`
    pointer   where: a JSON pointer into the entry file, or `other.yaml#/…`
    reason    one sentence, lower case
    """

    severity: Severity
    code: str
    pointer: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A schema as it was written, where it was written.

    value     an object, a boolean, or anything that somebody wrote there
    file      the file that references in `value` start from; "" is the entry file
    pointer   JSON pointer of `value` in `file`
    """

    value: object
    file: str = ""
    pointer: str = ""


NO_SCHEMA: Final = Schema(True)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter, by its name on the wire.

    media_type   not "": the value travels as one text in this media type, whatever `style` says (`content`)
    allow_empty  `allowEmptyValue`: `p=` may be sent
    is_hidden    never an argument: a credential or a header that is the gateway's own
    """

    name: str
    location: Location
    style: Style
    explode: bool
    required: bool
    schema: Schema
    media_type: str = ""
    allow_reserved: bool = False
    allow_empty: bool = False
    is_hidden: bool = False
    deprecated: bool = False
    description: str = ""
    example: object = ABSENT
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one field of a form travels; what is not given follows from the media type and the value.

    content_type  of the part, or "" (several are given as written: `image/png, image/jpeg`)
    style         "" : not given, then `content_type` decides
    """

    content_type: str = ""
    style: Style | Literal[""] = ""
    explode: bool | None = None
    allow_reserved: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One property of a body that is an object.

    is_file        takes a file argument: `{"data": base64, "filename": …, "type": …}`
    is_many        an array: of values, or of files
    xml_name       element or attribute; the property's name when nothing else is said
    is_hidden      never an argument: a credential
    """

    name: str
    schema: Schema
    required: bool = False
    is_file: bool = False
    is_many: bool = False
    encoding: Encoding = Encoding()
    xml_name: str = ""
    is_xml_attribute: bool = False
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class MediaType:
    """One form of a body.

    name      in lower case, without parameters: `application/json`, `image/*`
    full      as written, with parameters
    fields    the known properties when the schema is an object's; empty otherwise
    is_file   the whole body is one file
    is_stream an endless sequence of items (`itemSchema`, `text/event-stream`, NDJSON); `schema` is one item's
    xml_root  the root element's name for XML, or ""
    """

    name: str
    schema: Schema
    full: str = ""
    fields: tuple[Field, ...] = ()
    is_file: bool = False
    is_stream: bool = False
    xml_root: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """What an operation takes beside its parameters.

    media  the form that is sent
    other  forms that are declared and never sent
    """

    media: MediaType
    required: bool = False
    other: tuple[str, ...] = ()
    description: str = ""
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """One declared answer.

    status  `200`, `2XX` or `default`
    media   in the order of preference; empty: no body is declared
    """

    status: str
    description: str = ""
    media: tuple[MediaType, ...] = ()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerVariable:
    default: str
    allowed: tuple[str, ...] = ()  # empty: any value


@dataclass(frozen=True, slots=True)
class Server:
    """Where operations may be sent; the operator decides whether they are.

    url  a template (`https://{region}.example.com/v1`), perhaps relative to the description's own address
    """

    url: str
    variables: Mapping[str, ServerVariable] = field(default_factory=dict[str, ServerVariable])
    description: str = ""


@dataclass(frozen=True, slots=True)
class SecurityScheme:
    """A way to prove who calls; `unknown` is one that no broker can serve, so that the call is refused.

    parameter  apiKey: the name of the query parameter, header or cookie
    scheme     http: `basic`, `bearer`, … in lower case
    urls       oauth2 and openIdConnect: `tokenUrl`, `authorizationUrl`, `openIdConnectUrl`, …
    """

    name: str
    kind: SchemeKind
    location: str = ""  # apiKey: `query`, `header` or `cookie`
    parameter: str = ""
    scheme: str = ""
    urls: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)


@dataclass(frozen=True, slots=True)
class SecurityNeed:
    scheme: SecurityScheme
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hints:
    """What a description says to gateways like this one (`x-agw-*`, `x-mcp`, `x-kong-mcp-*`, `x-speakeasy-mcp`).

    is_excluded  None: nothing is said
    """

    name: str = ""
    description: str = ""
    title: str = ""
    is_excluded: bool | None = None
    is_read_only: bool | None = None
    scopes: tuple[str, ...] = ()
    toolset: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that an API can be asked to do.

    key        `GET /pets/{id}`: distinct in its document
    operation_id  as written, perhaps "" or used twice
    path       the template up to a `?` or `#`, starting with `/`, each variable as `{name}`; sent after the server's
               own path, never joined to it as a reference
    query      what the path's key held after `?`: sent with every request, in front of other parameters
    security   alternatives, each of which needs all its parts; (): nothing is said; an empty one: anonymous
    servers    the nearest ones: the operation's, its path's or the document's
    pointer    where it stands
    """

    key: str
    operation_id: str
    method: str  # upper case
    path: str
    pointer: str
    query: str = ""
    fragment: str = ""  # what the path's key held after `#`: never sent
    summary: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    responses: tuple[Response, ...] = ()
    security: tuple[tuple[SecurityNeed, ...], ...] = ()
    servers: tuple[Server, ...] = ()
    has_own_servers: bool = False
    deprecated: bool = False
    hints: Hints = Hints()


@dataclass(frozen=True, slots=True)
class Tag:
    name: str
    description: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One description, read.

    version   of OpenAPI, as written: `2.0`, `3.1.0`
    dialect   how its schemas are to be understood
    files     every file that was read, and what references in them mean; "" is the entry file
    declared  how many operations the description holds, those left out included
    """

    version: str
    dialect: Literal["2.0", "3.0", "3.1"]
    title: str
    api_version: str
    operations: tuple[Operation, ...]
    findings: tuple[Finding, ...]
    files: Files
    description: str = ""
    servers: tuple[Server, ...] = ()
    schemes: Mapping[str, SecurityScheme] = field(default_factory=dict[str, SecurityScheme])
    tags: tuple[Tag, ...] = ()
    declared: int = 0

    @property
    def digest(self) -> str:
        """Return `sha256:` and hex over the bytes of every file read so far."""
        return self.files.digest


@dataclass(frozen=True, slots=True)
class Argument:
    """Where one argument of a tool goes.

    name       as the tool's input schema has it; "" for a fixed value, which no caller can set
    parameter  it is this parameter …
    field      … or this property of the body …
    both None  … or the whole body
    fixed      not ABSENT: always this value
    """

    name: str
    parameter: Parameter | None = None
    field: Field | None = None
    fixed: object = ABSENT
