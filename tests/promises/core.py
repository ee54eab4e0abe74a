"""What holds for every kind of traffic: invariants, listeners, identity, policy, money, the log, and operating it."""

from typing import Final

from promises.requirement import Requirement

PROMISES: Final[dict[str, Requirement]] = {
    "invariant.no-permit-no-forward": Requirement("DESIGN 1", "nothing is forwarded without a Permit"),
    "invariant.record-before-forward": Requirement(
        "DESIGN 1", "nothing is forwarded before its decision record is durable"
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
    "audit.one-outcome": Requirement("DESIGN 1", "every call has exactly one outcome record, however it ends"),
    "audit.key-rotation": Requirement(
        "issue 2.8", "the log's key changes by a record and a head of both keys; either verifies all of it"
    ),
    "audit.consistency": Requirement("RFC 9162 2.1.4", "a log is proved to have only grown since a head that was kept"),
    "audit.edge-refusals": Requirement(
        "issue 2, bad input",
        "what is refused before an app is asked leaves one record, within a bound",
    ),
    "audit.flipped-bit": Requirement("issue 8", "`audit verify` names the record in which a bit was flipped"),
    "audit.kill-9": Requirement("issue, Tests", "after kill -9 no acknowledged call lacks its decision record"),
    "audit.no-clear-text": Requirement("DESIGN 3", "a record holds no arguments or results in clear"),
    "fast-path-is-invisible": Requirement(
        "DESIGN, choices",
        "plain calls get the same answers, records and upstream requests by either way through the gateway",
    ),
    "house.layout": Requirement("issue 1", "the top level holds what DESIGN names, and imports point down"),
    "house.a2a-sdk-coexists": Requirement("DESIGN, Shape", "`import a2a` is the SDK, beside our `a2a/` folder"),
    "config.all-mistakes-at-once": Requirement(
        "issue 2", "`check` names file, line and key for every mistake, all at once, with exit code 1"
    ),
    "config.no-inline-secrets": Requirement("issue 2", "a secret is a reference, and no dump or message shows one"),
    "config.insecure-combinations": Requirement("issue 2", "settings that together open a door do not load"),
    "config.schema-for-editors": Requirement("issue 2", "a JSON Schema describes every key and is current"),
    "config.hot-reload": Requirement("issue 2", "SIGHUP or a changed file swaps the snapshot, then drains"),
    "listeners.routes": Requirement("issue 3", "`/mcp`, `/mcp/{toolset}` and `/servers/{upstream}/mcp` serve"),
    "listeners.admin-audience": Requirement("issue 3", "an agent's token does not open the admin API"),
    "listeners.host-and-origin": Requirement("issue 3", "a Host or Origin that is not listed is refused"),
    "listeners.deadlines": Requirement("issue 3", "a slow head, a slow body and an idle connection are ended"),
    "registry.api": Requirement("issue 3, 5", "the registry's lists answer in its own shapes, by the caller's rights"),
    "registry.owners": Requirement("issue 3, 5", "owners publish versions that never change, and set their status"),
    "registry.import": Requirement("issue 3, 5", "servers of another registry are taken over, and wait for approval"),
    "registry.mirror": Requirement(
        "issue 3, 5",
        "a registry that is followed keeps statuses current; approvals are ours, what left is marked, not lost",
    ),
    "registry.judged": Requirement(
        "issue 3, 5", "an operator's word on a published server is recorded: who, what, before and after"
    ),
    "pins.quarantine": Requirement(
        "DESIGN pin", "a definition that changed is withheld with its tool until an operator approves the very one"
    ),
    "pins.approve-mode": Requirement("issue 3, 5", "where definitions are to be approved, none is shown before"),
    "pins.recorded": Requirement("DESIGN pin", "each word on a definition is in the audit log, with who said it"),
    "policy.every-kind": Requirement("issue 3, 1", "the same policies filter and decide tools, prompts and resources"),
    "policy.arguments": Requirement("issue 6", "a policy can decide on an argument's value"),
    "policy.bad-set-does-not-load": Requirement(
        "issue 6", "a policy set that does not validate, or holds a rule that can never match, does not load"
    ),
    "policy.reason": Requirement("issue 6", "a denial names the policy and what would satisfy it"),
    "policy.chains-narrow": Requirement(
        "issue 4.4", "where everyone's rights count, nobody does for others what they may not do themselves"
    ),
    "budgets.every-kind": Requirement("issue 3, 1", "budgets count uses of every kind, each kind for itself"),
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
    "cli.read": Requirement("issue 3", "the command line reads resources and gets prompts as a named agent"),
    "cli.init-loads": Requirement("issue 9", "what `init` writes loads without a warning"),
    "cli.connect-keeps-other-entries": Requirement("issue 9", "`connect --write` keeps every other entry"),
    "cli.explain": Requirement("issue 9", "`explain` says who may call what, and why a call was denied"),
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
    "budget.exact": Requirement("issue 7", "50 parallel calls on a budget of 20 give exactly 20"),
    "budget.money": Requirement("issue 7", "calls are paid by the price of the tool, in whole micros"),
    "budget.levels": Requirement("issue 7", "every level that matches must have room; one that refuses takes nothing"),
    "budget.windows": Requirement("issue 7", "an allowance starts afresh with its window"),
    "budget.held-is-freed": Requirement("DESIGN, 10 settle", "no hold outlives its call, however that ends"),
    "limits.concurrency": Requirement("DESIGN 8", "a caller with too much running is refused, and nobody else is"),
    "rate.retry-after": Requirement("issue 7", "a call that comes too soon is told when to come again"),
    "workers.one-gateway": Requirement("issue 7", "several workers share budgets, sessions, metrics and reloads"),
    "workers.drain": Requirement("issue 3", "SIGTERM lets calls finish, and waits for no standing stream"),
    "workers.restart": Requirement("issue 7", "a worker that dies is replaced, and what it had leased is found again"),
    "telemetry.trace-context": Requirement("W3C Trace Context", "traceparent goes in and on"),
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
