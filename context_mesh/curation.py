"""Curation: a small file that chooses, names and words the tools of an API, and fixes or hides arguments.

    curation: 1
    include: ["pets", "GET /status"]          # names, `METHOD /path`, `tag:…`; `*` and `?` are any; all when absent
    exclude: ["delete_*", "DELETE *"]
    tools:
      list_pets:                              # a name, or `GET /pets`
        name: pets
        title: All the pets
        description: Lists the pets of the shop.
        risk: read                            # read, create, write or destroy; raising needs no reason
        toolsets: [shop]
        arguments:
          limit: {fixed: 20}                  # always this, no caller sets it
          debug: {hidden: true}               # never sent
          name: {description: As on the collar.}
    toolsets:
      shop: ["list_*"]

An entry that means nothing is a finding and changes nothing. What it changes is shown by `effect` before it counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

from context_mesh.contract import compare
from context_mesh.openapi.arguments import without
from context_mesh.openapi.bundle import shrink
from context_mesh.openapi.examples import is_fit
from context_mesh.openapi.members import JsonObject, array, flag, mapping, text, texts
from context_mesh.openapi.model import ABSENT, Finding
from context_mesh.openapi.naming import MAX_NAME_CHARS, is_name, snake, tool_names
from context_mesh.openapi.parse import parse
from context_mesh.openapi.prose import MAX_FIELD_CHARS, MAX_TOOL_CHARS, cut, plain
from context_mesh.openapi.tool import Annotations, Risk, Tool
from context_mesh.openapi.tools import Toolbox
from gateway_policies.refusal import BadRequest

VERSION: Final = 1
MAX_ENTRIES: Final = 20_000

_KNOWN: Final = frozenset({"curation", "include", "exclude", "tools", "toolsets"})
_OF_TOOLS: Final = frozenset({"name", "title", "description", "risk", "toolsets", "arguments"})


@dataclass(frozen=True, slots=True)
class Curation:
    """A curation file, read. Empty: nothing is changed."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tools: Mapping[str, JsonObject] | None = None
    toolsets: Mapping[str, tuple[str, ...]] | None = None


def is_overlay(body: bytes, name: str = "curation") -> bool:
    """Say whether a file that people keep beside an API is an Overlay, and no curation."""
    return "overlay" in mapping(parse(body, name))


def read_curation(body: bytes, name: str = "curation") -> Curation:
    """Return a curation file; raises `BadRequest` (`not_a_curation`) for another kind of file, or unknown members."""
    written = mapping(parse(body, name))
    unknown = sorted(written.keys() - _KNOWN)
    tools = {key: mapping(value) for key, value in mapping(written.get("tools")).items()}
    unknown += [f"tools.{key}.{member}" for key, entry in tools.items() for member in sorted(entry.keys() - _OF_TOOLS)]
    if written.get("curation") != VERSION or unknown or len(tools) > MAX_ENTRIES:
        told = f"`{unknown[0][:100]}` is not known" if unknown else f"`curation: {VERSION}` is missing"
        raise BadRequest(f"`{name}` is no curation: {told}", code="not_a_curation", hint="see context_mesh/README.md")
    return Curation(
        include=texts(written.get("include")),
        exclude=texts(written.get("exclude")),
        tools=tools,
        toolsets={snake(key): texts(value) for key, value in mapping(written.get("toolsets")).items() if snake(key)},
    )


def curate(toolbox: Toolbox, curation: Curation) -> Toolbox:
    """Return the tools as a curation wants them, in their order, with findings for entries without effect."""
    return _Curator(toolbox, curation).run()


def effect(before: Toolbox, after: Toolbox) -> Iterator[str]:
    """Yield what a curation changes, in sentences: what a person sees before it counts."""
    now = {tool.operation.key: tool for tool in after.tools}
    for tool in before.tools:
        changed = now.get(tool.operation.key)
        if changed is None:
            yield f"`{tool.name}` is left out"
            continue
        if changed.name != tool.name:
            yield f"`{tool.name}` is called `{changed.name}`"
        for change in compare(tool, changed).changes:
            yield f"`{tool.name}` {change.where + ' ' if change.where else ''}{change.what}"


def matches(pattern: str, tool: Tool, plain_name: str = "") -> bool:
    """Say whether a pattern means a tool: by a name, its `METHOD /path`, or `tag:` and a toolset.

    plain_name  the name that it had if no earlier import had named it, so that a curation outlives its own renames
    """
    if pattern.startswith("tag:"):
        return any(fnmatchcase(toolset, snake(pattern[4:]) or pattern[4:]) for toolset in tool.toolsets)
    key = pattern.replace("[", "[[]")  # the only special characters are `*` and `?`
    return any(fnmatchcase(name, key) for name in (tool.name, plain_name, tool.operation.key))


class _Curator:
    def __init__(self, toolbox: Toolbox, curation: Curation) -> None:
        self._toolbox = toolbox
        self._curation = curation
        self._findings: list[Finding] = []
        self._plain = tool_names([tool.operation for tool in toolbox.tools], {})

    def _matches(self, pattern: str, tool: Tool) -> bool:
        return matches(pattern, tool, self._plain[tool.operation.key])

    def run(self) -> Toolbox:
        for member, patterns in (("include", self._curation.include), ("exclude", self._curation.exclude)):
            for pattern in patterns:
                self._check(pattern, member)
        chosen = [tool for tool in self._toolbox.tools if self._is_chosen(tool)]
        entries = self._entries()
        tools = [self._changed(tool, entries.get(tool.operation.key, {})) for tool in chosen]
        tools = self._named([self._grouped(tool) for tool in tools], entries)
        return Toolbox(tuple(tools), (*self._toolbox.findings, *self._findings))

    def _note(self, where: str, reason: str) -> None:
        self._findings.append(Finding("warning", "curation", f"curation#/{where}", reason))

    def _check(self, pattern: str, where: str) -> None:
        if not any(self._matches(pattern, tool) for tool in self._toolbox.tools):
            self._note(where, f"`{pattern[:100]}` means no tool")

    def _is_chosen(self, tool: Tool) -> bool:
        include = self._curation.include
        is_in = not include or any(self._matches(pattern, tool) for pattern in include)
        return is_in and not any(self._matches(pattern, tool) for pattern in self._curation.exclude)

    def _entries(self) -> dict[str, JsonObject]:
        """Return the entries for single tools by operation key."""
        found: dict[str, JsonObject] = {}
        tools = self._toolbox.tools
        keys = {self._plain[tool.operation.key]: tool.operation.key for tool in tools}
        keys |= {tool.name: tool.operation.key for tool in tools} | {
            tool.operation.key: tool.operation.key for tool in tools
        }
        for name, entry in (self._curation.tools or {}).items():
            if name in keys:
                found[keys[name]] = entry
            else:
                self._note(f"tools/{name}", f"`{name[:100]}` means no tool")
        return found

    def _changed(self, tool: Tool, entry: JsonObject) -> Tool:
        where = f"tools/{tool.name}"
        if text(entry.get("title")):
            tool = replace(tool, title=cut(plain(text(entry["title"])), 60))
        if text(entry.get("description")):
            tool = replace(tool, description=cut(plain(text(entry["description"])), MAX_TOOL_CHARS) or tool.description)
        if "toolsets" in entry:
            tool = replace(tool, toolsets=tuple(snake(name) for name in texts(entry["toolsets"]) if snake(name)))
        if "risk" in entry:
            tool = self._graded(tool, text(entry["risk"]), where)
        for name, wanted in mapping(entry.get("arguments")).items():
            tool = self._argument(tool, name, mapping(wanted), f"{where}/arguments/{name}")
        return tool

    def _graded(self, tool: Tool, wanted: str, where: str) -> Tool:
        """Return a tool under another grade: a person may confirm what HTTP cannot say."""
        risk = Risk.__members__.get(wanted.upper())
        if risk is None:
            self._note(where, f"`{wanted[:100]}` is no risk")
            return tool
        hints = Annotations(
            is_read_only=risk is Risk.READ,
            is_destructive=risk >= Risk.WRITE,
            is_idempotent=risk is Risk.READ or tool.annotations.is_idempotent,
        )
        return replace(tool, risk=risk, annotations=hints)

    def _argument(self, tool: Tool, name: str, wanted: JsonObject, where: str) -> Tool:
        properties = mapping(tool.full_schema.get("properties"))
        if name not in properties:
            self._note(where, f"there is no argument `{name[:100]}`")
            return tool
        if "fixed" in wanted or flag(wanted.get("hidden")):
            return self._fixed(tool, name, wanted.get("fixed", ABSENT), where)
        described = cut(plain(text(wanted.get("description"))), MAX_FIELD_CHARS)
        if not described:
            self._note(where, "an argument is fixed, hidden or described")
            return tool
        part: JsonObject = {**mapping(properties[name]), "description": described}
        return _with_schema(tool, {**tool.full_schema, "properties": {**properties, name: part}})

    def _fixed(self, tool: Tool, name: str, value: object, where: str) -> Tool:
        """Return a tool without an argument: its value is fixed, or it is never sent."""
        properties = mapping(tool.full_schema.get("properties"))
        required = [item for item in array(tool.full_schema.get("required")) if item != name]
        if value is ABSENT and name in array(tool.full_schema.get("required")):
            self._note(where, f"`{name[:100]}` is required: give it a `fixed` value")
            return tool
        alone: JsonObject = {**tool.full_schema, "properties": {name: properties[name]}, "required": []}
        if value is not ABSENT and not is_fit({name: value}, alone):
            self._note(where, f"the fixed value does not fit `{name[:100]}`")
            return tool
        arguments = tuple(item for item in tool.arguments if item.name != name)
        if value is not ABSENT:
            arguments = without(tool.arguments, name, value)
        schema: JsonObject = {
            **{key: item for key, item in tool.full_schema.items() if key != "required"},
            "properties": {key: item for key, item in properties.items() if key != name},
        }
        if required:
            schema["required"] = required
        return replace(_with_schema(tool, schema), arguments=arguments)

    def _grouped(self, tool: Tool) -> Tool:
        more = [
            name
            for name, patterns in (self._curation.toolsets or {}).items()
            if any(self._matches(pattern, tool) for pattern in patterns)
        ]
        return replace(tool, toolsets=tuple(dict.fromkeys([*tool.toolsets, *more]))) if more else tool

    def _named(self, tools: Sequence[Tool], entries: Mapping[str, JsonObject]) -> list[Tool]:
        """Return tools under the names that were asked for, where those are names and nobody else's."""
        taken = {tool.name for tool in tools}
        named: list[Tool] = []
        for tool in tools:
            name = text(entries.get(tool.operation.key, {}).get("name"))
            if not name or name == tool.name:
                named.append(tool)
            elif name in taken or not is_name(name):
                reason = f"`{name[:100]}` is taken, or no name of at most {MAX_NAME_CHARS} of `a-z0-9_-`"
                self._note(f"tools/{tool.name}/name", reason)
                named.append(tool)
            else:
                taken.add(name)
                named.append(replace(tool, name=name))
        return named


def _with_schema(tool: Tool, schema: JsonObject) -> Tool:
    """Return a tool with another schema; the published one follows, and an example stays only where it fits."""
    example = tool.example if tool.example is not None and is_fit(tool.example, schema) else None
    published = shrink(schema)
    if example is not None:
        published = {**published, "examples": [example]}
    return replace(tool, full_schema=schema, input_schema=published, example=example)
