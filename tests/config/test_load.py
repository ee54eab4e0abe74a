"""Loading: what a good file gives, and how every mistake of a bad one is told."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError, validate

from agent_gateway.cli.schema import schema_text
from agent_gateway.config.load import dump, load
from agent_gateway.config.problems import ConfigErrors
from agent_gateway.config.schema import schema
from agent_gateway.config.secret import Secret, SecretUnavailable
from agent_gateway.config.upstream_mcp import McpUpstream
from support.config_files import ENVIRON, MINIMAL, errors_of, findings_of, load_text, write_config

BAD = """\
version: 1
upstreems: {}
workers: "2"
tenants: {acme: {teams: {research: {}}}}
agents:
  planner: {tenant: akme, owner: x, state: on, credentials: [{kind: client_secret, secret: hunter2hunter2, sekret: 1}]}
  second: {owner: [], trust: yes}
  third: {tenant: acme, teams: [reserch], owner: x, credentials: [{kind: nope}, 5]}
upstreams:
  both: {command: [a], url: "https://a.example/mcp"}
  user: {url: "https://u:p@h.example/"}
  bare: {command: [a], env: {API_KEY: abc}}
listeners: {data: {allowed_hosts: nope, prot: 1}}
budgets: [{name: b, scope: tenant, match: nobody, unit: calls, limit: 1, window: day}]
"""


@pytest.mark.requirement("config.all-mistakes-at-once")
def test_every_mistake_is_told_at_once_with_line_column_and_key(tmp_path: Path) -> None:
    told = [(error.line, error.key, error.message) for error in errors_of(tmp_path, BAD)]
    assert told == [
        (2, "upstreems", "unknown key `upstreems`"),
        (3, "workers", "this must be a whole number"),
        (6, "agents.planner.tenant", "no tenant is called `akme`"),
        (6, "agents.planner.state", "this is not one of the values it can have"),
        (6, "agents.planner.credentials[0].secret", "a secret is not written here, only where to find it"),
        (6, "agents.planner.credentials[0].sekret", "unknown key `sekret`"),
        (7, "agents.second.tenant", "this key is missing"),
        (7, "agents.second.owner", "this must be text"),
        (7, "agents.second.trust", "this must be a whole number"),
        (8, "agents.third.teams[0]", "no team of `acme` is called `reserch`"),
        (8, "agents.third.credentials[0]", "this `kind` is not known"),
        (8, "agents.third.credentials[1]", "this must be a mapping"),
        (10, "upstreams.both", "an upstream has either `url` or `command`"),
        (11, "upstreams.user.url", "a URL holds no user or password"),
        (12, "upstreams.bare.env", "`API_KEY` seems to be a secret written out"),
        (13, "listeners.data.allowed_hosts", "this must be a list"),
        (13, "listeners.data.prot", "unknown key `prot`"),
        (14, "budgets[0].match", "no tenant is called `nobody`"),
    ]


@pytest.mark.requirement("config.no-inline-secrets")
def test_a_secret_in_the_wrong_place_is_never_repeated(tmp_path: Path) -> None:
    told = "\n".join(error.text for error in errors_of(tmp_path, BAD))
    assert "hunter2" not in told
    assert "abc" not in told
    assert "u:p" not in told


def test_a_mistyped_key_is_answered_with_the_one_that_was_meant(tmp_path: Path) -> None:
    hints = {error.key: error.hint for error in errors_of(tmp_path, BAD)}
    assert hints["upstreems"] == "did you mean `upstreams`?"
    assert hints["agents.planner.credentials[0].sekret"] == "did you mean `secret`?"
    assert hints["listeners.data.prot"] == "did you mean `port`?"
    assert hints["agents.third.teams[0]"] == "did you mean `research`?"


def test_a_part_that_is_left_out_for_a_mistake_causes_no_further_ones(tmp_path: Path) -> None:
    text = MINIMAL.replace("acme: {teams:", "acme: {tiems: 1, title: [], teams:")
    assert [error.key for error in errors_of(tmp_path, text)] == ["tenants.acme.tiems", "tenants.acme.title"]


@pytest.mark.parametrize("text", ["", "- 1", "just text", "5", "version: 2", "version: '1'", "{}"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    assert errors_of(tmp_path, text)


def test_a_file_that_is_not_there_is_refused_with_a_way_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "none.yaml")
    assert caught.value.errors[0].message == "there is no such file"
    assert "init" in caught.value.errors[0].hint


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load(tmp_path)


def test_a_small_file_loads_with_every_default(tmp_path: Path) -> None:
    loaded = load_text(tmp_path)
    assert loaded.findings == ()
    assert loaded.config.listeners.data.url == "http://127.0.0.1:8080"
    assert loaded.config.listeners.admin.token_audience == "http://127.0.0.1:8081"
    time = loaded.config.upstreams["time"]
    assert isinstance(time, McpUpstream)
    assert time.isolated_by == "tenant"
    assert loaded.data_dir == tmp_path / "data"
    assert [policy.name for policy in loaded.policies] == ["main.cedar"]
    assert loaded.reveal(Secret("env", "PLANNER_SECRET")) == ENVIRON["PLANNER_SECRET"]


def test_an_entry_with_nothing_behind_it_is_there(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, MINIMAL.replace("platform: {}", "platform:") + "limits:\n")
    assert set(loaded.config.tenants["acme"].teams) == {"research", "platform"}
    assert loaded.config.limits.body_bytes == 4_194_304


def test_a_key_with_nothing_behind_it_is_told_as_such(tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path, MINIMAL + "data_dir:\n")
    assert (error.key, error.message) == ("data_dir", "there is nothing after this key")


@pytest.mark.requirement("config.no-inline-secrets")
def test_no_secret_shows_in_a_dump_or_a_repr(tmp_path: Path) -> None:
    loaded = load_text(tmp_path)
    shown = json.dumps(dump(loaded.config)) + repr(loaded) + repr(loaded.config)
    assert ENVIRON["PLANNER_SECRET"] not in shown
    assert "env:PLANNER_SECRET" in shown


def test_a_dump_loads_again_as_the_same_configuration(tmp_path: Path) -> None:
    loaded = load_text(tmp_path)
    again = load_text(tmp_path, yaml.safe_dump(dump(loaded.config)))
    assert again.config == loaded.config


def test_a_secret_that_is_not_there_stops_a_start_and_warns_a_check(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    with pytest.raises(ConfigErrors) as caught:
        load(path, environ={})
    assert caught.value.errors[0].key == "agents.planner.credentials[0].secret"
    assert caught.value.errors[0].message == "the environment variable `PLANNER_SECRET` is not set"
    loaded = load(path, environ={}, needs_secrets=False)
    assert [finding.severity for finding in loaded.findings] == ["warning"]
    with pytest.raises(SecretUnavailable):
        loaded.reveal(Secret("env", "PLANNER_SECRET"))


def test_equal_digests_mean_that_nothing_changed(tmp_path: Path) -> None:
    first = load_text(tmp_path).digest
    assert load_text(tmp_path).digest == first
    assert load_text(tmp_path, PLANNER_SECRET="another one, long enough").digest != first
    (tmp_path / "main.cedar").write_text("forbid (principal, action, resource);\n")
    assert load(tmp_path / "gateway.yaml", environ=ENVIRON).digest != first


def test_every_file_whose_change_matters_is_watched(tmp_path: Path) -> None:
    (tmp_path / "planner.jwks.json").write_text('{"keys": []}')
    (tmp_path / "planner.secret").write_text("correct horse battery staple\n")
    (tmp_path / "planner.secret").chmod(0o600)
    secret = 'secret: "file:planner.secret"}, {kind: private_key_jwt, jwks: "file:planner.jwks.json"'
    loaded = load_text(tmp_path, MINIMAL.replace('secret: "env:PLANNER_SECRET"', secret))
    names = {path.name for path in loaded.watched}
    assert names == {"gateway.yaml", "main.cedar", "planner.jwks.json", "planner.secret"}
    assert loaded.reveal(Secret("file", "planner.secret")) == "correct horse battery staple"
    assert loaded.key_sets == {"planner.jwks.json": '{"keys": []}'}


def test_relative_paths_start_at_the_file_not_at_the_working_directory(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    loaded = load_text(below)
    shutil.copy(below / "gateway.yaml", tmp_path / "moved.yaml")
    assert loaded.data_dir == below / "data"
    with pytest.raises(ConfigErrors, match="matches no file"):
        load(tmp_path / "moved.yaml", environ=ENVIRON)


def test_a_policy_pattern_takes_files_in_order_and_each_once(tmp_path: Path) -> None:
    for name in ("b.cedar", "a.cedar"):
        (tmp_path / name).write_text(f"// {name}\n")
    loaded = load_text(tmp_path, MINIMAL.replace("[main.cedar]", '["b.cedar", "*.cedar"]'))
    assert [policy.name for policy in loaded.policies] == ["b.cedar", "a.cedar", "main.cedar"]


def test_a_policy_pattern_that_matches_nothing_is_a_warning(tmp_path: Path) -> None:
    told = findings_of(tmp_path, MINIMAL.replace("[main.cedar]", '[main.cedar, "more/*.cedar"]'))
    assert told == ("policies.files[1]: `more/*.cedar` matches no file",)


def test_policies_that_are_not_text_or_too_large_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.cedar").write_bytes(b"\xff")
    (tmp_path / "y.cedar").write_bytes(b" " * (1024 * 1024 + 1))
    errors = errors_of(tmp_path, MINIMAL.replace("[main.cedar]", "[x.cedar, y.cedar]"))
    assert [error.message for error in errors] == [
        "`x.cedar` is not UTF-8 text",
        "`y.cedar` is larger than 1048576 bytes",
    ]


@pytest.mark.requirement("config.schema-for-editors")
def test_the_shipped_schema_is_current() -> None:
    shipped = Path(__file__).parents[2] / "agent_gateway" / "config" / "schema.json"
    assert shipped.read_text() == schema_text(), "run `agent-gateway schema --write agent_gateway/config/schema.json`"


@pytest.mark.requirement("config.schema-for-editors")
def test_the_schema_is_valid_and_takes_what_loads() -> None:
    Draft202012Validator.check_schema(schema())
    validate(yaml.safe_load(MINIMAL), schema(), Draft202012Validator)
    with pytest.raises(ValidationError):
        validate(yaml.safe_load(BAD), schema(), Draft202012Validator)


def test_every_key_of_the_schema_says_what_it_is() -> None:
    silent = [
        f"{name}.{key}"
        for name, shape in [("", schema()), *schema()["$defs"].items()]
        for key, value in shape.get("properties", {}).items()
        if "description" not in value and key != "kind"
    ]
    assert silent == []
