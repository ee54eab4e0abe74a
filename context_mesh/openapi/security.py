"""Who may call: security schemes, what an operation needs of them, and what looks like a credential.

A credential is the broker's to add, so nothing that carries one may be an argument: what a scheme
names, what HTTP reserves, and what is a credential by its name.
"""

import re
from collections.abc import Mapping
from typing import Final, cast, get_args

from context_mesh.openapi.files import BrokenReference, Files, escape, shown
from context_mesh.openapi.members import array, mapping, text, texts
from context_mesh.openapi.model import SchemeKind, SecurityNeed, SecurityScheme
from context_mesh.openapi.report import Report

Security = tuple[tuple[SecurityNeed, ...], ...]

_KINDS: Final = {kind.lower(): kind for kind in get_args(SchemeKind)}
_FLOW_URLS: Final = ("authorizationUrl", "tokenUrl", "refreshUrl", "deviceAuthorizationUrl")

RESERVED_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "origin",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "www-authenticate",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
"""Headers that are the gateway's own: a description cannot make them an argument."""

_CREDENTIAL_NAMES: Final = frozenset(
    {
        "apikey",
        "xapikey",
        "apitoken",
        "xapitoken",
        "accesstoken",
        "xaccesstoken",
        "authtoken",
        "xauthtoken",
        "xauthorization",
        "xauth",
        "authorization",
        "authentication",
        "bearertoken",
        "oauthtoken",
        "apisecret",
        "xapisecret",
        "clientsecret",
        "appkey",
        "xappkey",
        "xamzsecuritytoken",
        "xcsrftoken",
        "sessiontoken",
        "xsessiontoken",
        "subscriptionkey",
        "ocpapimsubscriptionkey",
    }
)
_PERHAPS_CREDENTIALS: Final = frozenset(["token", "key", "auth", "secret", "xtoken", "idtoken", "usertoken"])
_SAYS_CREDENTIAL: Final = re.compile(r"\b(?:auth\w*|api[ -]?keys?|credentials?|bearer|jwt|oauth)\b", re.IGNORECASE)


def read_schemes(root: Mapping[str, object], files: Files, report: Report) -> Mapping[str, SecurityScheme]:
    """Return the security schemes of a description by name, of either spelling; one that is unclear is `unknown`."""
    pointer = "/securityDefinitions" if "securityDefinitions" in root else "/components/securitySchemes"
    definitions = mapping(root.get("securityDefinitions")) or mapping(
        mapping(root.get("components")).get("securitySchemes")
    )
    schemes: dict[str, SecurityScheme] = {}
    for name, written in definitions.items():
        where = ("", f"{pointer}/{escape(name)}")
        try:
            place = files.follow(written, *where)
        except BrokenReference as error:
            report.broken(error, where)
            schemes[name] = SecurityScheme(name, "unknown")
            continue
        schemes[name] = _scheme(name, mapping(place.value))
        if schemes[name].kind == "unknown":
            report.add("warning", "unknown-security", where, "the security scheme has no known type")
    return schemes


def _scheme(name: str, written: Mapping[str, object]) -> SecurityScheme:
    kind = text(written.get("type")).lower()
    scheme = text(written.get("scheme")).lower()
    location = text(written.get("in")).lower()
    if kind == "basic":
        return SecurityScheme(name, "http", scheme="basic")
    if kind not in _KINDS or (kind == "http" and not scheme):
        return SecurityScheme(name, "unknown")
    if kind != "apikey":
        location = ""
    elif location not in ("query", "header", "cookie") or not text(written.get("name")):
        return SecurityScheme(name, "unknown")
    return SecurityScheme(
        name=name,
        kind=cast("SchemeKind", _KINDS[kind]),
        location=location,
        parameter=text(written.get("name")) if location else "",
        scheme=scheme if kind == "http" else "",
        urls=_urls(written),
    )


def _urls(written: Mapping[str, object]) -> Mapping[str, str]:
    flows = [mapping(flow) for flow in mapping(written.get("flows")).values()]
    sources = [written, *flows]
    urls = {name: text(source.get(name)) for source in sources for name in _FLOW_URLS if text(source.get(name))}
    connect = text(written.get("openIdConnectUrl"))
    return {**urls, "openIdConnectUrl": connect} if connect else urls


def read_security(
    written: object, schemes: Mapping[str, SecurityScheme], where: tuple[str, str], report: Report
) -> Security:
    """Return the alternatives of a `security` member.

    An empty list asks for nothing: one empty alternative. A scheme that nobody defined is a need that
    no broker can meet, so that the call is refused and not sent without a credential.
    """
    if not isinstance(written, list):
        if written is not None:
            report.add("warning", "bad-security", where, "`security` is no list and was not read")
        return ()
    alternatives: list[tuple[SecurityNeed, ...]] = []
    for item in array(cast("object", written)):
        needs: list[SecurityNeed] = []
        for name, scopes in mapping(item).items():
            if name not in schemes:
                report.add("warning", "unknown-security", where, f"no security scheme is called `{shown(name)}`")
            scheme = schemes.get(name) or SecurityScheme(name, "unknown")
            needs.append(SecurityNeed(scheme, texts(scopes)))
        alternatives.append(tuple(needs))
    return tuple(dict.fromkeys(alternatives)) or ((),)


def is_credential(name: str, location: str, description: str, schemes: Mapping[str, SecurityScheme]) -> bool:
    """Say whether a parameter (or, with location `body`, a field) carries a credential or is HTTP's own.

    Never true for a path: a key in a path names a thing.
    """
    if location == "path":
        return False
    lower = name.lower()
    if location == "header" and lower in RESERVED_HEADERS:
        return True
    if any(
        scheme.parameter == name or (location == "header" and scheme.parameter.lower() == lower)
        for scheme in schemes.values()
        if scheme.parameter and location != "body"
    ):
        return True
    letters = "".join(char for char in lower if char.isalnum())
    if letters in _CREDENTIAL_NAMES:
        return location != "body" or bool(_SAYS_CREDENTIAL.search(description))
    return letters in _PERHAPS_CREDENTIALS and bool(_SAYS_CREDENTIAL.search(description))
