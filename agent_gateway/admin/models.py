"""What the admin API says, as types: its OpenAPI document is made of them, and the command line reads them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway_policies.kinds import Kind

MAX_NAME = 128
MAX_CAPABILITY = 2200  # a name, or a URI and what tells it apart
MAX_PAGE = 200


class Shown(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Alive(Shown):
    status: Literal["ok"] = "ok"


class Ready(Shown):
    """Whether the gateway can take calls."""

    status: Literal["ready", "not ready"]
    snapshot: str
    """Id of the configuration, policies and catalogue that are served."""
    reasons: list[str]
    """Why it is not ready; empty when it is."""
    degraded: list[str]
    """Upstreams that show no tools now; the others are served."""


class UpstreamShown(Shown):
    """One upstream as this worker knows it."""

    name: str
    transport: Literal["http", "stdio"]
    state: Literal["unknown", "up", "down"]
    since: float
    """Unix seconds of the last change of state; 0: it was never asked."""
    detail: str
    restarts: int
    era: str
    """`modern` or `legacy`, as it was found to speak; empty while that is not known."""
    server: str
    """Name and version that it gives itself."""
    tools: int
    prompts: int
    resources: int
    """Templates too."""
    missing: str
    """Why its tools are not shown; empty while they are."""
    tags: list[str]


class Hints(Shown):
    """What the upstream says of its tool. Never believed: policies see the operator's word."""

    title: str = ""
    description: str = ""
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


class CapabilityShown(Shown):
    """One tool, prompt, resource, agent or skill under its public name, with the operator's grading."""

    kind: Kind
    name: str
    native: str
    upstream: str
    tags: list[str]
    risk: int
    read_only: bool
    price_micros: int
    toolsets: list[str]
    pin: str
    hints: Hints
    access: Literal["permit", "depends"] | None = None
    """For the agent that was asked about: always, or for some arguments and times."""


class Capabilities(Shown):
    total: int
    """How many there are; with `agent`, how many it sees."""
    items: list[CapabilityShown]


PinnedKind = Literal["tools", "prompts", "resources", "resource_templates", "card", "operations"]


class PinShown(Shown):
    """One definition that is withheld."""

    upstream: str
    what: PinnedKind
    name: str
    """The upstream's own word for it."""
    state: Literal["pending", "rejected"]
    pin: str
    """Digest of the withheld definition: an approval names it, so that it is of this one and no other."""
    approved_pin: str
    """Digest of the one that was approved; empty: none was."""
    seen_at: float
    changes: list[str]
    """What differs, a line each; for one that was never approved, all it says."""


class PinJudged(BaseModel):
    """An operator's word on a withheld definition."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    upstream: str = Field(min_length=1, max_length=MAX_NAME)
    what: PinnedKind = "tools"
    name: str = Field(min_length=1, max_length=MAX_CAPABILITY)
    pin: str = Field(min_length=1, max_length=MAX_NAME)
    verdict: Literal["approved", "rejected"]


class ProposalShown(Shown):
    """One API that a scan found."""

    name: str
    """What it would be called."""
    state: Literal["pending", "approved", "rejected"]
    found_in: str
    """Which kind of source: a file, a probe, a catalogue, an export, recorded traffic."""
    spec: str
    """Where its description is; empty: nobody has written one, or the source holds a draft."""
    url: str
    title: str
    owner: str
    """Who answers for it, as the source says."""
    lifecycle: str
    notes: list[str]
    """What a person should look at."""
    risk: Literal["", "read", "create", "write", "destroy"]
    """The highest grade of its operations; empty when they are not known."""
    scanned: str
    """The place that was scanned."""
    first_seen_at: float
    seen_at: float
    by: str
    """Who judged it."""
    judged_at: float
    digest: str
    """Of everything that was found: a verdict names it, so that it is of this one and no other."""
    has_draft: bool


class ProposalJudged(BaseModel):
    """An operator's word on a proposal."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1, max_length=MAX_NAME)
    digest: str = Field(min_length=1, max_length=MAX_NAME)
    verdict: Literal["approved", "rejected"]


class ToolsetShown(Shown):
    name: str
    path: str
    """Where it is served."""
    resource: str
    """Audience of its tokens."""
    tools: list[str]
    """Under the names used there."""
    prompts: list[str]
    resources: list[str]
    """Templates too."""


class ExplainAsked(BaseModel):
    """A call that might be made."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    agent: str = Field(min_length=1, max_length=MAX_NAME)
    capability: str = Field(min_length=1, max_length=MAX_CAPABILITY)
    kind: Kind = "tool"
    arguments: dict[str, Any] | None = None
    """None: any."""
    route: str = Field(default="mcp", max_length=MAX_NAME)
    acting_for: list[Annotated[str, Field(min_length=1, max_length=MAX_NAME)]] = Field(default=[], max_length=16)
    """Agents for whom it acts, the first of the chain first."""


class PolicyShown(Shown):
    """How one policy stands to the call."""

    id: str
    effect: Literal["permit", "forbid"]
    place: str
    condition: Literal["holds", "fails", "depends", "error"]
    depends: list[str]
    unmet: list[str]
    reason: str
    hint: str
    who: str
    """Whose rights it is about: empty for the agent's, else of whom it acts for."""


class ExplanationShown(Shown):
    """Who may call what, which policies say so, and what would change it."""

    agent: str
    capability: str
    effect: Literal["permit", "forbid", "depends"]
    is_visible: bool
    code: str
    """With arguments: why a forbid, in one word."""
    policies: list[PolicyShown]
    """Those in whose scope the call is."""
    changes: list[str]
    problem: str
    denied_to: list[str]
    """Those of a chain whose own rights fall short."""
    bundle: str
    """Content hash of the policies and the world they were asked in."""


class AgentAccess(Shown):
    agent: str
    tenant: str
    access: Literal["permit", "forbid", "depends"]


class WhoCan(Shown):
    capability: str
    total: int
    """How many agents are configured."""
    items: list[AgentAccess]


class BudgetShown(Shown):
    """One bucket of one budget in one window; a budget that nobody has used yet has a row without subject."""

    budget: str
    scope: str
    subject: str
    window: str
    unit: str
    limit: int
    spent: int
    """By calls that have ended."""
    held: int
    """By calls that run, as far as reported."""
    left: int
    resets_at: int | None
    """Unix seconds; none: never."""
    is_current: bool


class RecordShown(Shown):
    log: str
    index: int
    record: dict[str, Any]


class Records(Shown):
    items: list[RecordShown]
    """Newest first."""
    next: str | None
    """Send it as `cursor` for older ones; none: there are none. A short page with a cursor is a pause, not the end."""


class CallShown(Shown):
    """All that is recorded of one call."""

    call: str
    decision: RecordShown
    outcome: RecordShown | None
    """None while it runs, or when its worker died."""


class Receipt(BaseModel):
    """Records of one call with the proof that they are in the signed log."""

    model_config = ConfigDict(extra="allow")

    receipt: int
    call: str
    parts: list[dict[str, Any]]


class CheckpointShown(Shown):
    log: str
    size: int
    note: str
    """A C2SP signed note. Keep some where this gateway cannot write."""


class Checkpoints(Shown):
    vkey: str
    """The public key that signs them; one named `name` also speaks for the logs `name/slot`."""
    retired: list[str]
    """Those that signed before it, newest first."""
    items: list[CheckpointShown]


class DeadLetterShown(Shown):
    """An update of a task that its webhook never took."""

    at: float
    """Unix seconds: when it was given up."""
    tenant: str
    agent: str
    """The upstream whose update it is."""
    task: str
    why: str
    """The code of the last failure."""
    size_bytes: int


class ConfigShown(Shown):
    """The configuration that is served. Secrets are references; hashes of API keys are left out."""

    path: str
    digest: str
    snapshot: str
    config: dict[str, Any]


class Findings(Shown):
    items: list[str]
    last_problem: str
    """Why the last reload was refused; empty when it was not."""


class Reloaded(Shown):
    served: bool
    snapshot: str
    problem: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    move: str
    detail: str = ""
