"""The gateway under test: bare (everybody may, nothing is counted) and full (policy, budgets and rates on every call).

Both authenticate, decide and record; there is no way to switch that off. Each gets its own
directory with a `gateway.yaml` and Cedar policies, and a token from its own token endpoint.
"""

import base64
import json
import os
import secrets
import sys
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from demos.bench import recipes, serving

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
ANSWER_S = 30.0
AGENT = "bench"
TOOL = "stub__echo"
SECRET_ENV = "AGW_BENCH_SECRET"
TOKEN_TTL_S = 3600
PLENTY = 1_000_000_000_000
MAX_CONNECTIONS = 1024

BARE_POLICY = """@id("bench-anyone")
permit(principal, action, resource);
"""
FULL_POLICY = """@id("bench-team-may-read")
permit(principal in Team::"bench/load", action == Action::"call", resource in Upstream::"stub")
when { resource.read_only && resource.risk <= principal.trust };

@id("bench-no-large-n")
forbid(principal, action == Action::"call", resource == Tool::"stub__echo")
when { context.args has n && context.args.n > 1000 };
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is on in one variant of the gateway, and one call that it must deny."""

    name: str
    policy: str
    denied_tool: str = TOOL
    denied_arguments: Mapping[str, object] = field(default_factory=lambda: recipes.ARGUMENTS)
    denied_why: str = "a call that policy denies"
    is_metered: bool = False


BARE = Kind("gateway-bare", BARE_POLICY, denied_tool="stub__nothing", denied_why="a tool that is not there")
FULL = Kind("gateway-full", FULL_POLICY, denied_arguments={"text": "too much", "n": 5000}, is_metered=True)


def start(kind: Kind, ground: recipes.Ground) -> recipes.System:
    """Start the gateway as its users do, one worker, and return it with a token in hand."""
    home = ground.scratch / kind.name
    home.mkdir(mode=0o700)
    port, admin_port = serving.free_port(), serving.free_port()
    (home / "policies.cedar").write_text(kind.policy, encoding="utf-8")
    config = configuration(kind, port=port, admin_port=admin_port, upstream_url=ground.stub.url)
    (home / "gateway.yaml").write_text(json.dumps(config, indent=2), encoding="utf-8")  # JSON is YAML
    secret = secrets.token_urlsafe(32)
    argv = [sys.executable, "-m", "agent_gateway.cli.main", "--config", str(home / "gateway.yaml"), "up"]
    server = ground.start(kind.name, argv, environment(secret))
    serving.wait_until(server, lambda: serving.listens(port), within_s=START_S)
    url = f"http://127.0.0.1:{port}/mcp"
    try:
        bearer = token(f"http://127.0.0.1:{port}/oauth/token", AGENT, secret, resource=url)
        target = recipes.call(url, TOOL, token=bearer)
        serving.wait_until(server, lambda: recipes.answers(target), within_s=ANSWER_S)
    except (serving.StartFailed, OSError) as failed:
        serving.stop(server)
        raise serving.StartFailed(f"{failed}; last words: {server.last_words()}") from None
    return recipes.System(
        kind.name,
        target,
        server,
        version=_version(),
        denied={
            "a call without a token": recipes.call(url, TOOL),
            kind.denied_why: recipes.call(url, kind.denied_tool, kind.denied_arguments, token=bearer),
        },
    )


def configuration(kind: Kind, *, port: int, admin_port: int, upstream_url: str) -> dict[str, object]:
    """Return the content of `gateway.yaml` for `kind`."""
    config: dict[str, object] = {
        "version": 1,
        "data_dir": "./data",
        "workers": 1,
        "listeners": {"data": {"port": port}, "admin": {"port": admin_port}},
        "limits": {"concurrency_per_principal": MAX_CONNECTIONS},
        "tenants": {"bench": {"teams": {"load": {}}}},
        "token_service": {"access_token_ttl_s": TOKEN_TTL_S},
        "agents": {
            AGENT: {
                "tenant": "bench",
                "teams": ["load"],
                "owner": "the benchmark",
                "trust": 5,
                "credentials": [{"kind": "client_secret", "secret": f"env:{SECRET_ENV}"}],
            }
        },
        "upstreams": {
            "stub": {
                "kind": "mcp",
                "url": upstream_url,
                "allow_private": True,
                "era": "modern",
                "max_connections": MAX_CONNECTIONS,
                "max_waiting": MAX_CONNECTIONS,
                "tools": {"*": {"risk": 1, "read_only": True, "price_micros": 10}},
            }
        },
        "policies": {"files": ["policies.cedar"]},
        "telemetry": {"level": "warning"},
    }
    if kind.is_metered:
        config["budgets"] = [
            {"name": f"{scope}-{unit}", "scope": scope, "unit": unit, "limit": PLENTY, "window": "month"}
            for scope in ("tenant", "agent")
            for unit in ("calls", "micros")
        ]
        config["rates"] = [{"name": "agent-rate", "scope": "agent", "per_second": 1_000_000, "burst": 1_000_000}]
    return config


def environment(secret: str) -> dict[str, str]:
    """Return the environment of the gateway: ours, its secret, and the source tree on the path."""
    paths = [str(ROOT), str(ROOT / "policies"), str(ROOT / "a2a")]
    if inherited := os.environ.get("PYTHONPATH"):
        paths.append(inherited)
    return {**os.environ, SECRET_ENV: secret, "PYTHONPATH": os.pathsep.join(paths)}


def token(endpoint: str, client_id: str, client_secret: str, *, resource: str) -> str:
    """Return an access token by client credentials (RFC 6749, 4.4; RFC 8707); raise `StartFailed` without one."""
    form = urllib.parse.urlencode({"grant_type": "client_credentials", "resource": resource})
    pair = f"{urllib.parse.quote(client_id, safe='')}:{urllib.parse.quote(client_secret, safe='')}"
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
    }
    answer = serving.post(endpoint, headers, form)
    if answer.status != 200:
        raise serving.StartFailed(f"the token endpoint answers {answer.status}: {answer.body[:300]}")
    return str(cast(dict[str, object], json.loads(answer.body))["access_token"])


def _version() -> str:
    return f"python {sys.version.split()[0]}"


def _bare(ground: recipes.Ground) -> recipes.System:
    return start(BARE, ground)


def _full(ground: recipes.Ground) -> recipes.System:
    return start(FULL, ground)


GATEWAY_BARE = recipes.Recipe(BARE.name, "token, one policy for everybody, audit", _bare)
GATEWAY_FULL = recipes.Recipe(FULL.name, "token, policies on arguments, four budgets, a rate, audit", _full)
