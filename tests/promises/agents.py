"""What A2A agents and their callers may rely on."""

from typing import Final

from promises.requirement import Requirement

PROMISES: Final[dict[str, Requirement]] = {
    "a2a.one-operation": Requirement(
        "issue 4.1", "an operation is the same call in JSON-RPC and HTTP+JSON, 1.0 and 0.3, with and without tenant"
    ),
    "a2a.version-negotiation": Requirement(
        "A2A 3.6", "`A2A-Version` or its query form decides, empty is 0.3, any other version is -32009"
    ),
    "a2a.no-second-reading": Requirement(
        "DESIGN, Choices", "a request that an agent could read otherwise than the gateway is refused"
    ),
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
    "a2a.loops": Requirement("issue 4", "nobody is twice in a chain, and no chain is longer than allowed"),
    "a2a.forged-chain": Requirement("issue 4", "a chain that the gateway did not sign counts for nothing"),
}
