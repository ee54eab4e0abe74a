"""What a description says to gateways: our own extensions, and those of others that mean the same.

`x-agw-name|title|description|exclude|read-only|toolset|scopes`; Kong's
`x-kong-mcp-tool-name|-tool-description|-exclude`;
`x-mcp: true | false | {enabled, name, description, title, tool-name}`; Speakeasy's
`x-speakeasy-mcp: {disabled, name, description, scopes}` and `x-speakeasy-ignore`.
A hint can take a tool away, word it or group it; it can never widen what a policy allows.
"""

from collections.abc import Mapping

from context_mesh.openapi.members import flag, mapping, text, texts
from context_mesh.openapi.model import Hints


def read_hints(written: Mapping[str, object]) -> Hints:
    """Return the hints on an operation, or on its path, or on the document."""
    mcp = written.get("x-mcp")
    general, speakeasy = mapping(mcp), mapping(written.get("x-speakeasy-mcp"))

    def first(*values: object) -> str:
        return next((text(value) for value in values if text(value)), "")

    return Hints(
        name=first(
            written.get("x-agw-name"),
            written.get("x-kong-mcp-tool-name"),
            general.get("name"),
            general.get("tool-name"),
            speakeasy.get("name"),
        ),
        description=first(
            written.get("x-agw-description"),
            written.get("x-kong-mcp-tool-description"),
            general.get("description"),
            speakeasy.get("description"),
        ),
        title=first(written.get("x-agw-title"), general.get("title")),
        is_excluded=_is_excluded(written, general, speakeasy),
        is_read_only=_claim(written, "x-agw-read-only"),
        scopes=texts(written.get("x-agw-scopes")) or texts(speakeasy.get("scopes")),
        toolset=first(written.get("x-agw-toolset"), general.get("toolset")),
    )


def over(nearer: Hints, farther: Hints) -> Hints:
    """Return the nearer hints; exclusion, scopes and toolset come from farther where nothing is said."""
    return Hints(
        name=nearer.name,
        description=nearer.description,
        title=nearer.title,
        is_excluded=farther.is_excluded if nearer.is_excluded is None else nearer.is_excluded,
        is_read_only=nearer.is_read_only,
        scopes=nearer.scopes or farther.scopes,
        toolset=nearer.toolset or farther.toolset,
    )


def _is_excluded(
    written: Mapping[str, object], general: Mapping[str, object], speakeasy: Mapping[str, object]
) -> bool | None:
    for name in ("x-agw-exclude", "x-kong-mcp-exclude", "x-speakeasy-ignore"):
        if name in written:
            return flag(written[name])
    if "disabled" in speakeasy:
        return flag(speakeasy["disabled"])
    if "enabled" in general:
        return not flag(general["enabled"])
    mcp = written.get("x-mcp")
    return not mcp if isinstance(mcp, bool) else None


def _claim(written: Mapping[str, object], name: str) -> bool | None:
    return flag(written[name]) if name in written else None
