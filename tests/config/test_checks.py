"""Cross-checks: names that lead nowhere, combinations that let somebody in, patterns that match nothing."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.config.reach import can_match
from support.config_files import MINIMAL, errors_of, findings_of, load_text

ISSUER = 'issuers: {corp: {issuer: "https://idp.example", tenant: acme}}\n'
KEY = "{kind: api_key, id: abcdefghijk1, sha256: " + "0" * 64 + "}"


def upstream(**keys: str) -> str:
    members = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return MINIMAL.replace("upstreams:\n", f"upstreams:\n  other: {{{members}}}\n")


def listener(text: str, name: str = "data") -> str:
    return MINIMAL + f"listeners: {{{name}: {{{text}}}}}\n"


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        (MINIMAL + ISSUER.replace("acme", "akme"), "issuers.corp.tenant", "no tenant is called `akme`"),
        (
            MINIMAL + ISSUER.replace("}}", '}, again: {issuer: "https://idp.example", tenant: acme}}'),
            "issuers.again.issuer",
            "`corp` is the same issuer",
        ),
        (
            MINIMAL + ISSUER.replace("https://idp.example", "http://127.0.0.1:8080"),
            "issuers.corp.issuer",
            "this is the gateway's own token service",
        ),
        (MINIMAL.replace("[research]", "[research, research]"), "agents.planner.teams[1]", "`research` is here twice"),
        (
            MINIMAL.replace("[{kind: client", "[{kind: oidc, issuer: corq, match: {azp: x}}, {kind: client") + ISSUER,
            "agents.planner.credentials[0].issuer",
            "no issuer is called `corq`",
        ),
        (MINIMAL + "token_service: {enabled: false}\n", "agents.planner.credentials[0].kind", "`client_secret` needs"),
        (MINIMAL + "listeners: {grpc: {port: 8080}}\n", "listeners.grpc.port", "another listener has this port"),
        (
            MINIMAL.replace("upstreams:\n", "upstreams:\n  desk: {kind: a2a, url: 'https://x.example'}\n")
            + "toolsets: {desk: {agent: {}}}\n",
            "toolsets.desk.agent",
            "the upstream `desk` is served at `/a2a/desk` already",
        ),
        (MINIMAL + "admins: [{agent: planer}]\n", "admins[0].agent", "no agent is called `planer`"),
        (MINIMAL + "admins: [{issuer: x, match: {sub: y}}]\n", "admins[0].issuer", "no issuer is called `x`"),
        (MINIMAL + "admins: [{agent: planner, issuer: x}]\n", "admins[0]", "an operator is named by"),
        (MINIMAL + "admins: [{}]\n", "admins[0]", "an operator is named by"),
        (
            MINIMAL + "rates: [{name: r, scope: team, match: acme/nobody, per_second: 1}]\n",
            "rates[0].match",
            "no team is called `acme/nobody`",
        ),
        (
            MINIMAL + "rates: [{name: r, scope: agent, per_second: 1}, {name: r, scope: agent, per_second: 1}]\n",
            "rates[1].name",
            "`r` is here twice",
        ),
    ],
)
def test_a_name_that_leads_nowhere_or_is_used_twice_is_an_error(
    tmp_path: Path, text: str, key: str, message: str
) -> None:
    (error,) = errors_of(tmp_path, text)
    assert error.key == key
    assert error.message.startswith(message)


def test_an_api_key_belongs_to_one_agent(tmp_path: Path) -> None:
    agents = "".join(f"  a{n}: {{tenant: acme, owner: x, credentials: [{KEY}]}}\n" for n in range(2))
    errors = errors_of(tmp_path, MINIMAL.replace("agents:\n", "agents:\n" + agents))
    assert [error.key for error in errors] == ["agents.a1.credentials[0].id", "agents.a1.credentials[0].sha256"]


def test_two_agents_that_one_token_could_match_are_an_error(tmp_path: Path) -> None:
    def agents(one: str, other: str) -> str:
        lines = [
            f"  {name}: {{tenant: acme, owner: x, credentials: [{{kind: oidc, issuer: corp, match: {match}}}]}}\n"
            for name, match in (("a0", one), ("a1", other))
        ]
        return MINIMAL.replace("agents:\n", "agents:\n" + "".join(lines)) + ISSUER

    (error,) = errors_of(tmp_path, agents("{azp: x}", "{sub: y}"))
    assert error.message == "a token could match both this agent and `a0`"
    assert errors_of(tmp_path, agents("{azp: x}", "{azp: y, sub: z}")) == ()


def test_an_agent_of_another_tenant_cannot_come_from_an_issuer(tmp_path: Path) -> None:
    text = MINIMAL.replace("tenants:\n", "tenants:\n  other: {}\n") + ISSUER.replace("acme", "other")
    text = text.replace("[{kind: client", "[{kind: oidc, issuer: corp, match: {azp: x}}, {kind: client")
    (error,) = errors_of(tmp_path, text)
    assert error.message.startswith("issuer `corp` speaks for another tenant")


@pytest.mark.requirement("config.insecure-combinations")
@pytest.mark.parametrize(
    ("text", "key"),
    [
        (listener("host: 0.0.0.0, public_url: 'https://g.example'"), "listeners.data.allowed_hosts"),
        (listener("host: 0.0.0.0, allowed_hosts: [g.example]"), "listeners.data.public_url"),
        (listener("host: '::', public_url: 'http://g.example', allowed_hosts: [a]"), "listeners.data.public_url"),
        (listener("public_url: 'http://gateway.example'"), "listeners.data.public_url"),
        (listener("host: 10.0.0.1"), "listeners.data.public_url"),
        (listener("port: 8081"), "listeners.admin.port"),
        (listener("public_url: 'http://127.0.0.1:8080'", "admin"), "listeners.admin.audience"),
        (upstream(url="'http://wiki.example/mcp'"), "upstreams.other.url"),
        (
            upstream(
                url="'http://10.0.0.1/mcp'", allow_private="true", auth="{kind: header, value: 'env:PLANNER_SECRET'}"
            ),
            "upstreams.other.url",
        ),
        (upstream(url="'https://127.0.0.1/mcp'"), "upstreams.other.url"),
        (upstream(url="'https://localhost./mcp'"), "upstreams.other.url"),
        (
            upstream(
                url="'https://wiki.example/mcp'",
                auth="{kind: client_credentials, token_url: 'http://idp.example/token', client_id: x, "
                "client_secret: 'env:PLANNER_SECRET'}",
            ),
            "upstreams.other.auth.token_url",
        ),
        (MINIMAL + ISSUER.replace("https", "http"), "issuers.corp.issuer"),
        (MINIMAL + "token_service: {issuer: 'http://idp.example'}\n", "token_service.issuer"),
    ],
)
def test_a_combination_that_opens_a_door_is_an_error(tmp_path: Path, text: str, key: str) -> None:
    assert key in [error.key for error in errors_of(tmp_path, text)]


@pytest.mark.parametrize(
    "text",
    [
        listener("host: 0.0.0.0, public_url: 'https://g.example', allowed_hosts: [g.example]"),
        listener("host: '::1'"),
        upstream(url="'http://127.0.0.1:9/mcp'", allow_private="true"),
        upstream(url="'http://10.0.0.1/mcp'", allow_private="true"),
        upstream(url="'https://wiki.example/mcp'", auth="{kind: header, value: 'env:PLANNER_SECRET'}"),
    ],
)
def test_a_combination_that_is_safe_loads(tmp_path: Path, text: str) -> None:
    assert errors_of(tmp_path, text) == ()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h.example/",
        "https://",
        "https://h.example:0/",
        "https://h.example:99999/",
        "https://h.example/#x",
        "https://h.exa mple/",
        "https://h.example\\\\@evil.example/",
        "https://[::1/",
        "https://h.example/mcp?api_key=x",
        "https://h.example/mcp?a=b&access_token=x",
        "/mcp",
    ],
)
def test_a_url_that_can_be_read_two_ways_or_holds_a_secret_is_refused(tmp_path: Path, url: str) -> None:
    assert [error.key for error in errors_of(tmp_path, upstream(url=f'"{url}"'))] == ["upstreams.other.url"]


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"command": "[a]", "auth": "{kind: header, value: 'env:PLANNER_SECRET'}"}, "upstreams.other"),
        ({"url": "'https://h.example/'", "env": "{A: b}"}, "upstreams.other"),
        ({"command": "[]"}, "upstreams.other.command"),
        (
            {"url": "'https://h.example/'", "auth": "{kind: header, name: Host, value: 'env:PLANNER_SECRET'}"},
            "upstreams.other.auth.name",
        ),
        (
            {"url": "'https://h.example/'", "auth": "{kind: header, name: Mcp-Name, value: 'env:PLANNER_SECRET'}"},
            "upstreams.other.auth.name",
        ),
        (
            {"url": "'https://h.example/'", "auth": "{kind: header, name: 'a: b', value: 'env:PLANNER_SECRET'}"},
            "upstreams.other.auth.name",
        ),
        ({"command": "[a]", "env": "{GITHUB_TOKEN: ghp_x}"}, "upstreams.other.env"),
        ({"command": "[a]", "tools": "{'*': {risk: 11}}"}, 'upstreams.other.tools."*".risk'),
        ({"command": "[a]", "kind": "kafka"}, "upstreams.other"),
        *(
            ({"url": "'https://h.example/'", "auth": f"{{kind: discover{auth}}}"}, "upstreams.other.auth")
            for auth in (
                "",
                ", client_id: a",
                ", client_id: a, client_secret: 'env:PLANNER_SECRET'",
                ", client_key: 'env:PLANNER_SECRET', grant: authorization_code",
                ", grant: jwt_bearer",
                ", grant: jwt_bearer, assertion: 'env:PLANNER_SECRET'",
                ", assertion: 'env:PLANNER_SECRET', grant: authorization_code",
            )
        ),
        (
            {
                "url": "'https://h.example/'",
                "transport": "sse",
                "auth": "{kind: discover, grant: authorization_code}",
            },
            "upstreams.other.auth.kind",
        ),
    ],
)
def test_an_upstream_that_makes_no_sense_is_an_error(tmp_path: Path, keys: dict[str, str], key: str) -> None:
    assert [error.key for error in errors_of(tmp_path, upstream(**keys))] == [key]


def test_a_toolset_does_not_hide_the_other_transport(tmp_path: Path) -> None:
    text = MINIMAL + "toolsets: {sse: {include: ['*']}}\n"
    assert findings_of(tmp_path, text) == ()
    clash = text + "listeners: {data: {http_sse: true}}\n"
    assert [error.key for error in errors_of(tmp_path, clash)] == ["toolsets.sse"]


def test_what_needs_a_second_look_is_a_warning(tmp_path: Path) -> None:
    text = MINIMAL.replace("policies: {files: [main.cedar]}\n", "").replace(
        "agents:\n", "agents:\n  idle: {tenant: acme, owner: x}\n"
    )
    text += (
        "toolsets: {reading: {include: ['git__*', 'time__*', '*'], exclude: ['t?me__*']}}\n"
        "budgets: [{name: b, scope: tenant, match: 'x*', unit: calls, limit: 1, window: total}]\n"
        "telemetry: {otlp_endpoint: 'http://otel.example/v1/traces'}\n"
    )
    assert findings_of(tmp_path, text) == (
        "policies: there are no policies, so every call is denied",
        "agents.idle: this agent has no credential, so it cannot call",
        "toolsets.reading.include[0]: `git__*` can match no tool of any upstream",
        "budgets[0].match: `x*` matches no tenant",
        "telemetry.otlp_endpoint: spans name tenants, agents and tools, and would travel in the clear",
    )


def test_a_secret_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("correct horse battery staple")
    (tmp_path / "s").chmod(0o644)
    (finding,) = findings_of(tmp_path, MINIMAL.replace("env:PLANNER_SECRET", "file:s"))
    assert finding.endswith("`file:s` can be read by others")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "`file:s` is empty"),
        (b"\n", "`file:s` is empty"),
        (b"\xff", "`file:s` is not UTF-8 text"),
        (b"x" * 65_537, "`file:s` is larger than 65536 bytes"),
    ],
)
def test_a_secret_file_without_a_secret_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "s").write_bytes(content)
    (error,) = errors_of(tmp_path, MINIMAL.replace("env:PLANNER_SECRET", "file:s"))
    assert error.message == message


@pytest.mark.parametrize(
    "reference", ["hunter2", "env:", "env:A B", "file:", "file: x", "ENV:X", "vault:x", "env:X\\n"]
)
def test_what_is_not_a_reference_is_refused_as_a_secret(tmp_path: Path, reference: str) -> None:
    (error,) = errors_of(tmp_path, MINIMAL.replace("env:PLANNER_SECRET", reference))
    assert error.message == "a secret is not written here, only where to find it"


@given(st.text("a-_*?", max_size=8), st.sampled_from(["a__", "a-a__", "aa__"]), st.text("a_-", min_size=1, max_size=4))
def test_a_pattern_that_matches_a_tool_is_never_called_unreachable(pattern: str, prefix: str, rest: str) -> None:
    if fnmatchcase(prefix + rest, pattern):
        assert can_match(pattern, prefix)


@pytest.mark.parametrize(
    ("pattern", "is_reachable"),
    [
        ("git__log", True),
        ("git__", False),
        ("gi*", True),
        ("*log", True),
        ("g?t__*", True),
        ("got__*", False),
        ("", False),
    ],
)
def test_reach_is_decided_by_the_prefix_alone(pattern: str, is_reachable: bool) -> None:
    assert can_match(pattern, "git__") is is_reachable


@pytest.mark.parametrize(
    ("per_second", "whole"),
    [("10", (10, 1)), ("0.1", (1, 10)), ("2.5", (5, 2)), ("1e-6", (1, 1_000_000)), ("1e6", (1_000_000, 1))],
)
def test_a_rate_is_known_in_whole_numbers(tmp_path: Path, per_second: str, whole: tuple[int, int]) -> None:
    text = MINIMAL + f"rates: [{{name: r, scope: tenant, per_second: {per_second}}}]\n"
    assert load_text(tmp_path, text).config.rates[0].count_per_period == whole
