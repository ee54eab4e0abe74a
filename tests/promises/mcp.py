"""What MCP clients, servers and registries may rely on."""

from typing import Final

from promises.requirement import Requirement

PROMISES: Final[dict[str, Requirement]] = {
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
    "mcp.discover-union": Requirement(
        "issue 3, 4", "an endpoint declares what its upstreams do that its caller can see, and names no other"
    ),
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
    "mcp.unlisted": Requirement(
        "issue 3, 1", "a resource that no list names is read where it can only be one upstream's, as policies allow"
    ),
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
    "mcp.asking.cells": Requirement(
        "issue 3, 2", "sampling, elicitation and roots reach the person behind a client of either era"
    ),
    "mcp.era-of-the-caller": Requirement(
        "issue 3, 2", "an upstream of both eras can be called in the era of each caller, with nothing translated"
    ),
    "mcp.asking.declared": Requirement("issue 3, 2", "an upstream is told what the client declared, and no more"),
}
