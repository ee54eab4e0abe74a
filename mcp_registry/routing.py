"""Routing: whose resource a URI is, among many upstreams.

A resource that is listed is found by its URI, anything else by the templates.
INVARIANT: what an upstream lists, or its operator hides, is never reached
through a template of that upstream: a wide template would undo what is said of
the one resource.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mcp_registry import uris
from mcp_registry.entries import Entry


@dataclass(frozen=True, slots=True)
class Found:
    """A resource that a URI may mean.

    uri  what its upstream calls it
    """

    entry: Entry
    uri: str


@dataclass(frozen=True, slots=True)
class Router:
    """The resources of one endpoint, by the URIs used there.

    templates  the most literal first
    concrete   per upstream, every URI that it lists, shown or not
    """

    exact: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    templates: tuple[tuple[str, uris.Template, Entry], ...] = ()  # with what stands before the upstream's own URI
    concrete: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def candidates(self, uri: str) -> tuple[Found, ...]:
        """Return what `uri` may mean, at most one resource of each upstream, the likeliest first.

        A URI with dot segments fits no template.
        """
        listed = self.exact.get(uri)
        if listed is not None:
            return (Found(listed, listed.capability.native),)
        if len(uri) > uris.MAX_URI_CHARS or uris.climbs(uri):
            return ()
        found: dict[str, Found] = {}
        for prefix, template, entry in self.templates:
            upstream = entry.capability.upstream
            if upstream in found or not uri.startswith(prefix):
                continue
            native = uri[len(prefix) :]
            if native not in self.concrete.get(upstream, ()) and template.matches(native):
                found[upstream] = Found(entry, native)
        return tuple(found.values())


def make_router(
    resources: Mapping[str, Entry], templates: Mapping[str, Entry], concrete: Mapping[str, frozenset[str]]
) -> Router:
    """Return the router over resources and templates by the URIs that an endpoint shows."""
    return Router(resources, tuple(sorted(_ready(templates.items()), key=_most_literal_first)), concrete)


def _ready(templates: Iterable[tuple[str, Entry]]) -> Iterable[tuple[str, uris.Template, Entry]]:
    for shown, entry in templates:
        template = entry.definition.template
        assert template is not None
        yield shown.removesuffix(entry.capability.native), template, entry


def _most_literal_first(ready: tuple[str, uris.Template, Entry]) -> tuple[int, str]:
    _, template, entry = ready
    return -template.literals, entry.capability.name
