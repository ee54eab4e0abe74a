"""What `agent-gateway init` writes: a small configuration that explains itself."""

from typing import Final

GATEWAY_YAML: Final = """\
# yaml-language-server: $schema=./gateway.schema.json
#
# The whole gateway in one file. `agent-gateway check` names every mistake in it.
# Secrets are never written here: `env:NAME` is an environment variable, `file:path` a file.
# Every key has a default except `version`; `agent-gateway schema` describes them all.
version: 1
data_dir: ./data # signing keys, budgets, the audit log

listeners:
  data: {host: 127.0.0.1, port: 8080} # agents connect to http://127.0.0.1:8080/mcp
  admin: {host: 127.0.0.1, port: 8081} # operators, health and metrics

# Who there is. One tenant never sees another's names, calls or money.
tenants:
  local:
    title: This machine
    teams:
      makers: {title: Makers}

# Who may call, and how they prove it. The name is also the OAuth client id.
agents:
  first-agent:
    tenant: local
    teams: [makers]
    owner: you@example.com
    trust: 3 # 0 to 10; policies can ask for it
    credentials:
      - {kind: client_secret, secret: "file:secrets/first-agent.secret"}
  operator:
    tenant: local
    owner: you@example.com
    credentials:
      - {kind: client_secret, secret: "file:secrets/operator.secret"}

# Who may use the admin API.
admins:
  - {agent: operator}

# What the gateway forwards to: a program it starts, or a URL. Remove the `#` signs to try one.
upstreams:
#  time:
#    command: [uvx, mcp-server-time, --local-timezone, UTC]
#    tags: [clock]
#    tools:
#      "*": {risk: 1, read_only: true, price_micros: 100}
#  wiki:
#    url: https://wiki.example.com/mcp
#    auth: {kind: header, name: Authorization, prefix: "Bearer ", value: "env:WIKI_TOKEN"}
#    tools:
#      "*": {risk: 5}
#      "search*": {risk: 1, read_only: true}

# Bundles of tools with their own URL: http://127.0.0.1:8080/mcp/reading
toolsets:
#  reading: {include: ["wiki__search*", "time__*"]}

# Who may call what. With no policy every call is denied.
policies:
  files: [policies/*.cedar]

# How much may be spent, and how fast. Each agent that matches has an allowance of its own.
budgets:
  - {name: daily-calls, scope: agent, match: "*", unit: calls, limit: 10000, window: day}
rates:
  - {name: steady, scope: agent, match: "*", per_second: 20, burst: 40}

audit:
  origin: gateway.local # a name of yours in signed checkpoints

telemetry:
  logs: console # `json` for machines
"""

POLICIES: Final = """\
// Policies, in Cedar (https://docs.cedarpolicy.com). Nothing is allowed unless a `permit` says so,
// and a `forbid` always wins. The same rules filter lists and decide calls.

@id("makers-read")
permit (
  principal in Team::"local/makers",
  action == Action::"call",
  resource
)
when { resource.read_only && resource.risk <= 3 };

@id("no-destruction")
@reason("destructive tools need a trusted agent")
@hint("ask an operator to raise the agent's trust to 8")
forbid (
  principal,
  action == Action::"call",
  resource
)
when { resource.risk >= 8 && principal.trust < 8 };
"""

GITIGNORE: Final = """\
data/
secrets/
"""
