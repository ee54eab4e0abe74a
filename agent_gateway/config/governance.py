"""Governance: toolsets, policies, budgets and rates."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent_gateway.config.section import FilePath, Label, Name, Pattern, Section, UriPattern, refuse

Scope = Literal["tenant", "team", "agent", "capability", "edge"]
Subject = Annotated[str, Field(min_length=1, max_length=192, pattern=r"^[A-Za-z0-9_.*/:+{}%-]+$")]
"""A subject, in which `*` stands for any text."""


class ShownTool(Section):
    """How a toolset shows a tool or prompt: to policies, budgets and records it stays what it is."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    """Its name there. One that another has there already is not given: `check` says so."""
    description: Annotated[str, Field(min_length=1, max_length=16_384)] | None = None
    """What is said of it there."""


class ToolsetAgent(Section):
    """A toolset as an A2A agent: its tools are skills, its policies, budgets and records are the same."""

    name: Label | None = None
    """Name in its card. Default: the toolset's title, or its name."""
    description: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """What its card says it is for. Default: that it calls tools."""
    version: Label = "1"
    """Version in its card."""
    visibility: Literal["entitled", "public"] = "entitled"
    """Who may read its card: those who may use one of its tools, or everybody."""
    publish: tuple[Pattern, ...] = Field(default=(), max_length=1000)
    """Tools that the public card names, by name in this toolset or by pattern. Default: none."""
    serve: tuple[Literal["1.0", "0.3"], ...] = Field(default=("1.0", "0.3"), min_length=1, max_length=2)
    """Versions of A2A that callers may speak."""


class Toolset(Section):
    """A curated bundle of tools with its own URL, `/mcp/{name}`; `default` is served at `/mcp`."""

    title: Label | None = None
    """Name for people."""
    include: tuple[Pattern, ...] = Field(default=("*",), max_length=1000)
    """Tools to show, `{upstream}__{tool}` or a pattern."""
    exclude: tuple[Pattern, ...] = Field(default=(), max_length=1000)
    """Tools to leave out, whatever `include` says; prompts and resources too."""
    prompts: tuple[Pattern, ...] = Field(default=(), max_length=1000)
    """Prompts to show, `{upstream}__{prompt}` or a pattern. Default: none."""
    resources: tuple[UriPattern, ...] = Field(default=(), max_length=1000)
    """Resources and resource templates to show, by URI or pattern. Default: none."""
    tools: Mapping[Pattern, ShownTool] = Field(default={}, max_length=1000)
    """Other names and descriptions, by public name of a tool, or of a prompt."""
    compact: bool = False
    """Show three tools to search, describe and call the others with, in place of all of them."""
    code: bool = False
    """Give callers of the compact endpoint `run_code`, which composes calls in a sandbox. Needs the extra `code`."""
    list_tokens: int | None = Field(default=None, ge=0, le=10_000_000)
    """Most tokens, about, that its list may cost a caller; above it the endpoint is compact for that caller."""

    agent: ToolsetAgent | None = None
    """Serve it as an A2A agent too, at `/a2a/{name}`: a message calls a tool. `{}` is enough."""

    @property
    def compact_above(self) -> int | None:
        return -1 if self.compact else self.list_tokens


class Policies(Section):
    """Cedar policies. With none, every call is denied."""

    files: tuple[FilePath, ...] = Field(default=(), max_length=256)
    """Cedar files; `*`, `?` and `**` work, in alphabetical order."""
    chains: Literal["actor", "everyone"] = "actor"
    """Whose rights count when an agent acts for others: its own, or those of everyone in its chain too, so that a
    chain only narrows what may be done."""
    starter: bool = False
    """Add the starter policies that ship with the gateway."""


class Budget(Section):
    """How much may be spent in a window. Every budget that matches a call must have room for it."""

    name: Name
    """Named in refusals and records."""
    scope: Scope | Literal["root"]
    """Whose spending is added up; `edge`: a caller's at one upstream; `root`: that of all calls that come of one."""
    match: Subject = "*"
    """Which: `acme`, `acme/research`, `git__*`, `prompt:git__*`, `planner/worker`. Each has an allowance of its own."""
    unit: Literal["calls", "micros"]
    """Calls, or millionths of the currency by each tool's `price_micros`."""
    limit: int = Field(ge=0, le=2**53 - 1)
    """Most of that unit per window."""
    window: Literal["day", "month", "total"]
    """When it starts afresh: at midnight UTC, on the first of the month, never. That of `root` ends."""

    @model_validator(mode="after")
    def _ends(self) -> "Budget":
        if self.scope == "root" and self.window == "total":
            raise refuse("a transaction ends, and its budget with it", "write `window: day`")
        return self


class Rate(Section):
    """How fast calls may come."""

    name: Name
    """Named in refusals and records."""
    scope: Scope
    """Whose calls are counted together."""
    match: Subject = "*"
    """Which of them, as for budgets."""
    per_second: float = Field(ge=0.000_001, le=1_000_000)
    """Calls per second in the long run; 0.1 is one in ten seconds."""
    burst: int = Field(default=1, ge=1, le=1_000_000)
    """Calls that may come at once after a quiet time."""

    @property
    def count_per_period(self) -> tuple[int, int]:
        """The same rate as whole numbers: so many calls in so many seconds."""
        rate = Fraction(repr(self.per_second)).limit_denominator(1_000_000)
        return rate.numerator, rate.denominator
