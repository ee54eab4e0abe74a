"""What the gateway promises, as data: each promise has a test, or says why it has none yet.

A test claims a promise with `@pytest.mark.requirement("id")`; `test_requirements.py` holds both ways.
A gap is a debt in plain sight: take it out in the change that adds the test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Requirement:
    """One promise.

    source     where it comes from: an invariant of DESIGN.md, a clause of a specification, the issue
    behaviour  what anyone can observe
    gap        why no test holds it yet; None: one does
    """

    source: str
    behaviour: str
    gap: str | None = None


REQUIREMENTS: Final[Mapping[str, Requirement]] = {
    # --- invariants ------------------------------------------------------------------------
    "invariant.no-permit-no-forward": Requirement("DESIGN 1", "nothing is forwarded without a Permit"),
    "invariant.record-before-forward": Requirement(
        "DESIGN 1", "nothing is forwarded before its decision record is durable"
    ),
    "audit.one-outcome": Requirement("DESIGN 1", "every call has exactly one outcome record, however it ends"),
    "audit.key-rotation": Requirement(
        "issue 2.8", "the log's key changes by a record and a head of both keys; either verifies all of it"
    ),
    "audit.consistency": Requirement("RFC 9162 2.1.4", "a log is proved to have only grown since a head that was kept"),
    "audit.edge-refusals": Requirement(
        "issue 2, bad input",
        "what is refused before an app is asked leaves one record, within a bound",
    ),
    "fast-path-is-invisible": Requirement(
        "DESIGN, choices",
        "plain calls get the same answers, records and upstream requests by either way through the gateway",
    ),
    "invariant.listed-iff-callable": Requirement(
        "DESIGN 2", "a capability is listed when, and only when, it is callable for some argument"
    ),
    "invariant.hidden-is-unknown": Requirement(
        "DESIGN 2", "a hidden capability and an unknown one get the same answer"
    ),
    "invariant.token-stays-here": Requirement(
        "DESIGN 3", "an inbound token never appears in an upstream request, an error, a log or a record"
    ),
    "invariant.tenants-apart": Requirement("DESIGN 3", "no answer names another tenant or what is its"),
    "invariant.egress-only": Requirement(
        "DESIGN 4", "every outbound connection goes to an address that egress has checked"
    ),
    "invariant.no-redirects-no-proxies": Requirement(
        "DESIGN 4", "no outbound request follows a redirect or a proxy variable"
    ),
    "invariant.ids-are-bound": Requirement(
        "DESIGN 5", "an id that comes back works only for the principal it was given to"
    ),
    "invariant.doubt-denies.no-policy": Requirement("DESIGN 6", "without a policy every call is denied"),
    "invariant.doubt-denies.policy-error": Requirement("DESIGN 6", "a rule that fails to evaluate denies"),
    "invariant.doubt-denies.budget-store": Requirement("DESIGN 6", "a budget store that is down denies"),
    "invariant.doubt-denies.audit": Requirement("DESIGN 6", "an audit log that is down denies"),
    "invariant.doubt-denies.idp": Requirement(
        "DESIGN 6", "cached keys serve for up to 24 hours while an issuer is down, and then nobody enters"
    ),
    "invariant.telemetry-never-denies": Requirement("DESIGN 6", "calls go on while telemetry is down"),
    "invariant.no-overspend": Requirement(
        "DESIGN 7", "holds never exceed a limit, at any level, under any interleaving"
    ),
    "invariant.no-overspend-after-crash": Requirement(
        "DESIGN 7", "a crash of a worker never lets more be spent than the limit"
    ),
    "invariant.limits-are-named": Requirement("DESIGN 8", "what is beyond a limit is refused by its name"),
    "invariant.one-dead-upstream": Requirement(
        "DESIGN 9", "a dead or slow upstream costs the calls of other upstreams nothing"
    ),
    "invariant.degraded-is-said": Requirement("DESIGN 9", "a list without an upstream says that it is degraded"),
    "invariant.bad-config-changes-nothing": Requirement(
        "DESIGN 10", "a configuration that does not load leaves the running one in place and says why"
    ),
    # --- APIs as tools: the call -----------------------------------------------------------
    "mesh.tools-are-sound": Requirement(
        "issue 5, 2",
        "tools have distinct names, valid whole schemas and no credential as an argument, the same at each import",
    ),
    "mesh.arazzo": Requirement(
        "issue 5, 2",
        "an Arazzo workflow becomes one composite tool, each of whose steps is decided, paid and recorded for itself",
    ),
    "mesh.tasks": Requirement(
        "issue 5, 3",
        "work that an API accepts is a task of its caller, followed and cancelled on the API's origin only",
    ),
    "mesh.proposals": Requirement(
        "issue 5, 5", "what a scan finds waits for a word on it, is proposed once, and goes live by that word alone"
    ),
    "mesh.refetch": Requirement(
        "issue 5, 4", "a description is fetched again by itself; what might break is held, and waits where pins do"
    ),
    "mesh.canary": Requirement(
        "issue 5, 4",
        "a held version is tried on named callers, each caller sees one of the two, and both ways back are exact",
    ),
    "mesh.search-by-meaning": Requirement(
        "issue 5, 6", "embeddings of a server find beside words, and a search without them is as good as words are"
    ),
    "mesh.code-mode": Requirement(
        "issue 5, 6", "code composes calls in a sandbox with bounds, and may no more than its caller, call by call"
    ),
    "mesh.bombs": Requirement(
        "issue 5, Bad input", "hostile descriptions cost bounded time and memory, and run nothing"
    ),
    "mesh.drift-is-classed": Requirement(
        "issue 5, 4",
        "a changed operation is classed quiet, notify, hold or withdraw, and a held one serves what was approved",
    ),
    "mesh.wire-table": Requirement(
        "issue 5, 3", "each of the 74 calls of the wire table is exactly the bytes that the specifications want"
    ),
    "mesh.path-stays": Requirement(
        "issue 5, bad input", "no argument changes which segments a path has, however often it is encoded"
    ),
    "mesh.header-injection": Requirement(
        "issue 5, bad input", "no argument ends a header, or sets one that is the gateway's own"
    ),
    "mesh.calls-an-api": Requirement(
        "issue 5, 3", "a call of a generated tool is one HTTP request at the registered API"
    ),
    "mesh.credentials": Requirement(
        "issue 5, 3",
        "an operation's security, alternatives and all, is met by the gateway's own credentials or not at all",
    ),
    "mesh.waits-for-work": Requirement(
        "issue 5, 3", "work that an API accepted (202) is waited for where that is wanted"
    ),
    "mesh.search-knows-its-caller": Requirement(
        "issue 5, 6",
        "a search finds only what its caller may see, and what it may not see changes nothing in the answer",
    ),
    "mesh.discovery-proposes": Requirement(
        "issue 5, 5", "what is found is proposed, with owner and doubts, and nothing of a recording's values is in it"
    ),
    "mesh.sources-stay-inside": Requirement(
        "issue 5, 1",
        "a description is read from where the operator says, within bounds, and from nowhere that it refers to",
    ),
    "mesh.imports-are-pinned": Requirement("issue 5, 4", "an import that was changed after it was kept is not served"),
    "mesh.tools-are-governed": Requirement(
        "issue 5, 4", "an API's operation is a tool like any other: listed if callable, decided, budgeted and recorded"
    ),
    "mesh.arguments-are-checked": Requirement(
        "issue 5, 3", "arguments that do not fit a tool's schema are refused before anything is sent"
    ),
    "mesh.nothing-before-approval": Requirement("issue 5, 5", "no operation is served before somebody has approved it"),
    "mesh.held-tools-keep-their-contract": Requirement(
        "issue 5, 4", "whatever an API says later, an approved tool is served as it was approved"
    ),
    "mesh.compact-calls-are-calls": Requirement(
        "issue 5, 6", "a call through `call_tool` is decided, budgeted, checked and recorded as the tool that it names"
    ),
    "mesh.lists-have-a-price": Requirement(
        "issue 5, 6",
        "what a list costs a caller is measured, and above a limit the endpoint is compact for that caller",
    ),
    "mesh.search-finds": Requirement(
        "issue 5, 6", "of held-out summaries, 83 % find their tool among five by names and paths alone"
    ),
    "mesh.answers-are-kept-apart": Requirement(
        "issue 5, 6", "the handle of a cut answer serves its owner alone, for a while, within bounds"
    ),
    "mesh.binary-answers": Requirement(
        "issue 5, 3", "a file that an API answers with reaches the caller byte for byte"
    ),
    "mesh.no-upstream-urls": Requirement("issue 5, 3", "no host of an API is told in an answer's location or redirect"),
    "mesh.useful-errors": Requirement(
        "issue 5, 3", "an API's failure is told by status, its own words and what to try"
    ),
    "mesh.answers-fit": Requirement(
        "issue 5, 3", "a shown answer fits its bound, and every cut is told with the way on"
    ),
    "mesh.servers-pinned": Requirement(
        "issue 5, 3", "an operation's own server is used only on the registered origin, or where an operator says so"
    ),
    # --- the house -------------------------------------------------------------------------
    "house.layout": Requirement("issue 1", "the top level holds what DESIGN names, and imports point down"),
    "house.a2a-sdk-coexists": Requirement("DESIGN, Shape", "`import a2a` is the SDK, beside our `a2a/` folder"),
    # --- configuration ---------------------------------------------------------------------
    "config.all-mistakes-at-once": Requirement(
        "issue 2", "`check` names file, line and key for every mistake, all at once, with exit code 1"
    ),
    "config.no-inline-secrets": Requirement("issue 2", "a secret is a reference, and no dump or message shows one"),
    "config.insecure-combinations": Requirement("issue 2", "settings that together open a door do not load"),
    "config.schema-for-editors": Requirement("issue 2", "a JSON Schema describes every key and is current"),
    "config.hot-reload": Requirement("issue 2", "SIGHUP or a changed file swaps the snapshot, then drains"),
    # --- listeners -------------------------------------------------------------------------
    "listeners.routes": Requirement("issue 3", "`/mcp`, `/mcp/{toolset}` and `/servers/{upstream}/mcp` serve"),
    "listeners.admin-audience": Requirement("issue 3", "an agent's token does not open the admin API"),
    "listeners.host-and-origin": Requirement("issue 3", "a Host or Origin that is not listed is refused"),
    "listeners.deadlines": Requirement("issue 3", "a slow head, a slow body and an idle connection are ended"),
    # --- MCP -------------------------------------------------------------------------------
    "mcp.stdio-face": Requirement(
        "issue 3",
        "a client that speaks MCP on standard streams reaches the gateway, in both eras, questions and cancels too",
    ),
    "mcp.real-servers": Requirement("issue 3", "servers that others wrote are listed and called through the gateway"),
    "mcp.real-clients": Requirement("issue 3", "clients that others wrote list and call through the gateway"),
    "mcp.old-sse-upstream": Requirement("issue 3", "upstreams of the HTTP+SSE transport of 2024 are reached"),
    "mcp.both-eras": Requirement("issue 4", "2026-07-28 and the handshake back to 2025-03-26 are served"),
    "mcp.tools.list.pagination": Requirement("issue 4", "a list of any length comes in pages, each tool once"),
    "mcp.tools.call.stream": Requirement("issue 4", "progress and the answer come as SSE, in order"),
    "mcp.cancel": Requirement("issue 4", "a cancelled call is cancelled at the upstream"),
    "mcp.names": Requirement("issue 4", "names are `{server}__{tool}`, 64 characters at most, and stable"),
    "mcp.prompts": Requirement("issue 3, 1", "prompts are listed and got, in every cell of the eras"),
    "mcp.resources": Requirement(
        "issue 3, 1", "resources are listed and read, listed ones and by template, in every cell"
    ),
    "mcp.completion": Requirement(
        "issue 3, 1", "arguments of prompts and templates are completed, where these may be used"
    ),
    "registry.api": Requirement("issue 3, 5", "the registry's lists answer in its own shapes, by the caller's rights"),
    "registry.owners": Requirement("issue 3, 5", "owners publish versions that never change, and set their status"),
    "registry.import": Requirement("issue 3, 5", "servers of another registry are taken over, and wait for approval"),
    "pins.quarantine": Requirement(
        "DESIGN pin", "a definition that changed is withheld with its tool until an operator approves the very one"
    ),
    "pins.approve-mode": Requirement("issue 3, 5", "where definitions are to be approved, none is shown before"),
    "pins.recorded": Requirement("DESIGN pin", "each word on a definition is in the audit log, with who said it"),
    "mcp.discover-union": Requirement(
        "issue 3, 4", "an endpoint declares what its upstreams do that its caller can see, and names no other"
    ),
    "policy.every-kind": Requirement("issue 3, 1", "the same policies filter and decide tools, prompts and resources"),
    "budgets.every-kind": Requirement("issue 3, 1", "budgets count uses of every kind, each kind for itself"),
    "mcp.raw-json": Requirement("issue 4", "unknown fields, nulls and big integers survive both ways"),
    "mcp.tasks.extension": Requirement(
        "ext-tasks", "a call answered with a task is followed, answered and cancelled under an id of its caller's own"
    ),
    "mcp.tasks.declared": Requirement(
        "ext-tasks", "the extension is offered and told on when the caller declares it, and -32021 says when it must"
    ),
    "mcp.tasks.own-only": Requirement(
        "DESIGN 5", "a task id that is forged, foreign, expired or of a hidden tool gets the answer of no task at all"
    ),
    "mcp.tasks.governed": Requirement(
        "notes/mcp 8.10", "each request about a task is decided on its tool and recorded with its outcome"
    ),
    "mcp.tasks.paid-once": Requirement(
        "notes/mcp 8.10", "a task is paid by the call that made it; what follows it counts for rates alone"
    ),
    "mcp.tasks.odd-upstreams": Requirement(
        "issue 3, bad input", "a task nobody asked for, or that nobody could follow, is an upstream's failure"
    ),
    "mcp.tasks.legacy": Requirement(
        "MCP 2025-11-25, tasks", "a task of the handshake era is begun, followed, answered, listed and cancelled"
    ),
    "mcp.tasks.driven": Requirement(
        "notes/mcp 1.3", "a tool that must be a task is seen through for callers that follow none, within their time"
    ),
    "mcp.tasks.across": Requirement(
        "notes/mcp 1.3", "a task is followed in the caller's form when its upstream has the other"
    ),
    "mcp.tasks.told": Requirement(
        "ext-tasks", "who listens to its tasks, or has a legacy session, is told how they go, and of no others"
    ),
    "mcp.tasks.workers": Requirement(
        "DESIGN, planes", "a task that one worker's session knows is followed whichever worker is asked"
    ),
    "mcp.tasks.peers": Requirement("issue 3", "tasks pass between a server and a client that others wrote"),
    "mcp.tasks.bytes": Requirement("issue 3", "only ids change in what is said about a task, both ways"),
    "mcp.sessions.idle": Requirement("issue 3, 3", "a legacy session that nobody uses is over after its idle time"),
    "mcp.sessions.capped": Requirement(
        "issue 3, 3", "a caller with too many sessions loses its oldest, and nobody else one"
    ),
    "mcp.asking.workers": Requirement(
        "issue 3, 2", "an answer that another worker receives reaches the call it belongs to"
    ),
    "mcp.asking.paid-once": Requirement("issue 3, 2", "the rounds of one logical call cost as much as one call"),
    "mcp.changes.resources": Requirement(
        "issue 3, 1", "a resource that changes is told to who watches it and may read it, in either era"
    ),
    "mcp.changes.lists": Requirement("issue 3, 4", "a list that changed at the upstream is told and shown at once"),
    "upstream.discovered-token": Requirement(
        "issue 3; MCP authorization",
        "an upstream's challenge leads to a token of its authorization server, then reused",
    ),
    "upstream.discovered-step-up": Requirement(
        "MCP authorization, step-up", "scopes that an upstream asks for are added to those there are, within a bound"
    ),
    "upstream.discovered-issuer": Requirement(
        "RFC 9728, 8414, 9207", "a credential goes to its issuer alone, whatever metadata and redirects say"
    ),
    "upstream.login": Requirement(
        "MCP authorization", "a person's grant is kept private, refreshed, and asked for anew when it does not serve"
    ),
    "mcp.unlisted": Requirement(
        "issue 3, 1", "a resource that no list names is read where it can only be one upstream's, as policies allow"
    ),
    "registry.mirror": Requirement(
        "issue 3, 5",
        "a registry that is followed keeps statuses current; approvals are ours, what left is marked, not lost",
    ),
    "registry.judged": Requirement(
        "issue 3, 5", "an operator's word on a published server is recorded: who, what, before and after"
    ),
    "cli.read": Requirement("issue 3", "the command line reads resources and gets prompts as a named agent"),
    "mcp.asking.required": Requirement(
        "MCP 2026-07-28, errors",
        "a call that fails for want of a capability the client did not declare says which: -32021",
    ),
    "mcp.asking.progress": Requirement(
        "issue 3, 1", "a client's progress with a server's question reaches that server, and nobody else's does"
    ),
    "mcp.cancel.workers": Requirement("issue 3, 3", "a cancel ends its call whichever worker receives it"),
    "mcp.http-sse": Requirement(
        "issue 3, 1", "clients of the transport of 2024-11-05 get every feature of their era on its one stream"
    ),
    "mcp.http-sse.sealed": Requirement(
        "DESIGN 5", "a place for messages takes only what its owner posts, at its endpoint, while its stream is open"
    ),
    "mcp.http-sse.end": Requirement(
        "issue 3, 3", "a stream ends idle or with its client, and what runs for it ends too; a caller has so many"
    ),
    "mcp.http-sse.workers": Requirement(
        "issue 3, 3", "a message posted to any worker is answered on the stream that another one holds"
    ),
    "mcp.resuming": Requirement(
        "issue 3, 3", "a legacy client that lost its connection gets what it missed with Last-Event-ID, and nobody else"
    ),
    "mcp.asking.bound": Requirement(
        "DESIGN 5", "a state handed out with a question comes back only from its caller, for the same request"
    ),
    "mcp.asking.unasked": Requirement("issue 3, Bad input", "a posted answer that nobody asked for is refused"),
    "mcp.stdio.restart": Requirement("issue 4", "a child that dies is started again, and none is left behind"),
    # --- A2A -------------------------------------------------------------------------------
    "a2a.one-operation": Requirement(
        "issue 4.1", "an operation is the same call in JSON-RPC and HTTP+JSON, 1.0 and 0.3, with and without tenant"
    ),
    "a2a.version-negotiation": Requirement(
        "A2A 3.6", "`A2A-Version` or its query form decides, empty is 0.3, any other version is -32009"
    ),
    "a2a.no-second-reading": Requirement(
        "DESIGN, Choices", "a request that an agent could read otherwise than the gateway is refused"
    ),
    "mcp.asking.cells": Requirement(
        "issue 3, 2", "sampling, elicitation and roots reach the person behind a client of either era"
    ),
    "mcp.era-of-the-caller": Requirement(
        "issue 3, 2", "an upstream of both eras can be called in the era of each caller, with nothing translated"
    ),
    "mcp.asking.declared": Requirement("issue 3, 2", "an upstream is told what the client declared, and no more"),
    "a2a.card-leads-here": Requirement(
        "issue 4.2", "a served card names the gateway alone: no URL of the agent survives in any member or shape"
    ),
    "a2a.card-drift": Requirement(
        "issue 4.2", "a changed card is told apart by what it changes: endpoints, skills, security"
    ),
    "a2a.card-approval": Requirement("issue 4.2", "a changed card is served when an operator approved it, not before"),
    "a2a.card-signatures": Requirement(
        "A2A 8.4", "cards are signed so that the SDK verifies them, and verified on our own terms"
    ),
    "a2a.bytes-pass": Requirement(
        "issue 4.1", "where agent and caller speak one dialect their bytes pass; across bindings a result's bytes do"
    ),
    "a2a.translation": Requirement(
        "issue 4.1", "requests, results, events and errors mean in another dialect what the SDK says they do"
    ),
    "a2a.states-are-seen": Requirement(
        "issue 4.4", "the state of a task is seen in every answer and event, however an agent dresses it"
    ),
    "a2a.ai-catalog": Requirement(
        "issue 4.7", "agents and servers stand in one AI Catalog and one RFC 9727 linkset, each once"
    ),
    "a2a.registry-search": Requirement(
        "ARD 7", "entries are searched, listed and counted; only those handed in are told of"
    ),
    "a2a.conformance": Requirement(
        "issue 4, Must show", "no requirement of A2A fails through the gateway that the agent itself holds"
    ),
    "a2a.peers": Requirement(
        "issue 4, Must show", "agents and clients nobody here wrote find through the gateway what they find without it"
    ),
    # --- identity --------------------------------------------------------------------------
    "identity.token-service": Requirement(
        "RFC 6749 4.4, RFC 7523", "an agent gets a token by secret or by signed assertion"
    ),
    "identity.wrong-tokens": Requirement("RFC 9068 4, RFC 8725", "a wrong token of any kind is refused"),
    "identity.challenge": Requirement("RFC 9728 5.1", "a 401 says where to get a token for this endpoint"),
    "identity.external-issuer": Requirement("issue 5", "tokens of a trusted issuer open the endpoint they are for"),
    "identity.revocation": Requirement(
        "issue 5", "a raised generation, a suspension or a removal ends every token of an agent with the next request"
    ),
    "identity.api-keys": Requirement("issue 5", "API keys are kept as hashes only"),
    # --- policy ----------------------------------------------------------------------------
    "policy.arguments": Requirement("issue 6", "a policy can decide on an argument's value"),
    "policy.bad-set-does-not-load": Requirement(
        "issue 6", "a policy set that does not validate, or holds a rule that can never match, does not load"
    ),
    "policy.reason": Requirement("issue 6", "a denial names the policy and what would satisfy it"),
    # --- budgets ---------------------------------------------------------------------------
    "budget.exact": Requirement("issue 7", "50 parallel calls on a budget of 20 give exactly 20"),
    "budget.money": Requirement("issue 7", "calls are paid by the price of the tool, in whole micros"),
    "budget.levels": Requirement("issue 7", "every level that matches must have room; one that refuses takes nothing"),
    "budget.windows": Requirement("issue 7", "an allowance starts afresh with its window"),
    "budget.held-is-freed": Requirement("DESIGN, 10 settle", "no hold outlives its call, however that ends"),
    "limits.concurrency": Requirement("DESIGN 8", "a caller with too much running is refused, and nobody else is"),
    "rate.retry-after": Requirement("issue 7", "a call that comes too soon is told when to come again"),
    # --- audit -----------------------------------------------------------------------------
    "audit.flipped-bit": Requirement("issue 8", "`audit verify` names the record in which a bit was flipped"),
    "audit.kill-9": Requirement("issue, Tests", "after kill -9 no acknowledged call lacks its decision record"),
    "audit.no-clear-text": Requirement("DESIGN 3", "a record holds no arguments or results in clear"),
    # --- agents ----------------------------------------------------------------------------
    "a2a.task-owner": Requirement("issue 4", "a task or context belongs to who made it, and to nobody else"),
    "a2a.task-owner-survives": Requirement("issue 4", "whose a task is outlives restarts, and is one for all workers"),
    "a2a.foreign-is-unknown": Requirement(
        "issue 4", "a foreign task or context answers byte for byte like one that never was, on every operation"
    ),
    "a2a.own-tasks-only": Requirement("issue 4", "a list of tasks shows one's own, and its page tokens are one's own"),
    "a2a.one-decision": Requirement(
        "issue 4", "the same operation over either binding and version is one decision and one record"
    ),
    "a2a.version-matrix": Requirement("A2A 1.0.1, 3.6", "a version is what header or query say; none is 0.3"),
    "a2a.byte-identity": Requirement(
        "issue 4", "messages, answers and events pass byte for byte, with all that nobody here knows"
    ),
    "a2a.disconnect": Requirement("A2A 1.0.1, 3.1.2", "who leaves a stream closes it, and the task goes on"),
    "a2a.skill-facade": Requirement("issue 4", "a skill's own endpoint is its alone, and tells the agent so"),
    "a2a.hidden-skill": Requirement("issue 4", "a hidden agent or skill and an unknown one get the same answer"),
    "a2a.registry-rights": Requirement("issue 4", "whoever looks finds what it may use, and nothing else"),
    "a2a.push-off": Requirement("issue 4", "push notifications are off unless the operator says otherwise"),
    "a2a.push-relay": Requirement("issue 4", "updates reach the caller's webhook, and the agent never learns of it"),
    "a2a.push-ssrf": Requirement("issue 4", "nothing is posted to an address inside, whenever a name leads there"),
    "a2a.grpc": Requirement("A2A 1.0.1, 10", "over gRPC operations get the same decisions, answers and records"),
    "a2a.grpc-agents": Requirement(
        "A2A 1.0.1, 10", "an agent that speaks gRPC alone is called like any, at a checked address and by its own name"
    ),
    "a2a.push-fair": Requirement(
        "issue 4.5", "a slow webhook delays nobody else's, and one of an ended task is forgotten with its last update"
    ),
    "a2a.skills-as-tools": Requirement("issue 4", "an agent's skills are MCP tools where asked for, governed like any"),
    "a2a.tasks-as-mcp-tasks": Requirement(
        "issue 4.6", "a bridged agent's task is an MCP task of who follows tasks; who leaves a call cancels it"
    ),
    "a2a.toolset-agents": Requirement(
        "issue 4.6", "a toolset is an agent where asked for: a message is a governed call"
    ),
    "a2a.one-purse": Requirement("issue 4", "all calls of all agents that come of one call share its purse"),
    "a2a.edge-budget": Requirement("issue 4", "a budget of a caller at an agent counts streamed and plain messages"),
    "a2a.chain": Requirement("RFC 8693 4.1", "each hop of a delegated call is named in the next token, verified"),
    "a2a.audience": Requirement("RFC 8707", "the token of a call holds at the agent that it went to, nowhere else"),
    "policy.chains-narrow": Requirement(
        "issue 4.4", "where everyone's rights count, nobody does for others what they may not do themselves"
    ),
    "a2a.loops": Requirement("issue 4", "nobody is twice in a chain, and no chain is longer than allowed"),
    "a2a.forged-chain": Requirement("issue 4", "a chain that the gateway did not sign counts for nothing"),
    # --- workers ---------------------------------------------------------------------------
    "workers.one-gateway": Requirement("issue 7", "several workers share budgets, sessions, metrics and reloads"),
    "workers.drain": Requirement("issue 3", "SIGTERM lets calls finish, and waits for no standing stream"),
    "workers.restart": Requirement("issue 7", "a worker that dies is replaced, and what it had leased is found again"),
    # --- command line ----------------------------------------------------------------------
    "cli.init-loads": Requirement("issue 9", "what `init` writes loads without a warning"),
    "cli.connect-keeps-other-entries": Requirement("issue 9", "`connect --write` keeps every other entry"),
    "cli.explain": Requirement("issue 9", "`explain` says who may call what, and why a call was denied"),
    # --- observability ---------------------------------------------------------------------
    "telemetry.trace-context": Requirement("W3C Trace Context", "traceparent goes in and on"),
    # --- bad input -------------------------------------------------------------------------
    "bad-input.json": Requirement(
        "issue, Bad input", "malformed JSON, duplicate keys, NaN, arrays and deep nesting get one protocol error"
    ),
    "bad-input.protocol": Requirement(
        "MCP 2026-07-28 and JSON-RPC 2.0", "headers, `_meta`, versions, methods and cursors that are wrong are refused"
    ),
    "bad-input.arguments": Requirement("issue, Bad input", "arguments that break the schema never reach the upstream"),
    "bad-input.costs-nobody-else": Requirement("issue, Bad input", "a good caller notices nothing of bad ones"),
    "bad-input.upstream": Requirement(
        "issue, Bad input", "an upstream that answers garbage, hangs, dies or floods gives one error, one record"
    ),
}
