"""Shapes: whatever a file holds, it loads or its mistakes are told in words; nothing else happens."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_gateway.config.faults import known_keys
from agent_gateway.config.problems import did_you_mean, dotted
from agent_gateway.config.schema import schema
from support.config_files import MINIMAL, errors_of, findings_of, load_text


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("workers: 1.5", "this must be a whole number", "no fraction"),
        ("workers: 0", "this must be at least 1", ""),
        ("workers: 257", "this must be at most 256", ""),
        ("limits: {body_timeout_s: 0}", "this must be more than 0.0", ""),
        ("limits: {body_timeout_s: 10s}", "this must be a number", "no quotes, no units"),
        ("limits: 5", "this must be a mapping", "write `key: value` lines under it"),
        ("rates: {a: b}", "this must be a list", "write `[a, b]`, or one `- item` a line"),
        ("issuers: []", "this must be a mapping", "write `key: value` lines under it"),
        (
            "token_service: {enabled: yes}",
            "this must be `true` or `false`",
            "`yes`, `no`, `on`",
        ),
        ("data_dir: 5", "this must be text", "put it in quotes"),
        ("data_dir: ''", "this text is shorter than 1 characters", ""),
        (f"data_dir: {'x' * 1025}", "this text is longer than 1024 characters", ""),
        (f"listeners: {{data: {{allowed_hosts: [{'a,' * 65}]}}}}", "this has more than 64 entries", ""),
        ("issuers: {i: {issuer: 'https://i', tenant: acme, algorithms: []}}", "this has fewer than 1 entries", ""),
        ("issuers: {i: {issuer: 'https://i', tenant: acme, algorithms: [HS256]}}", "this is not one of the values", ""),
        ("toolsets: {A: {}}", "the name `A` is not allowed", "lower-case letters, digits and hyphens, 32 at most"),
        ("toolsets: {a: {include: ['a[b]']}}", "this text has a character", "the form is `^[A-Za-z0-9_.*?-]{1,128}$`"),
        ("admins: [{issuer: i, match: {sub: [1]}}]", "a claim is compared with text", ""),
        ("listeners: {data: {allowed_origins: ['https://a.example/x']}}", "this is an origin", "leave the path out"),
        ("listeners: {data: {public_url: 'https://a.example/?x=1'}}", "this URL has no query", ""),
        ("upstreams: 7", "this must be a mapping", "write `key: value` lines under it"),
        ("telemetry: {level: loud}", "this is not one of the values it can have", "'error'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_in_words(tmp_path: Path, text: str, message: str, hint: str) -> None:
    told = errors_of(tmp_path, f"version: 1\n{text}\ntenants: {{acme: {{}}}}\n")
    assert len(told) == 1
    assert told[0].line == 2
    assert told[0].message.startswith(message)
    assert hint in told[0].hint


def test_an_origin_loses_only_its_last_slash(tmp_path: Path) -> None:
    text = (
        MINIMAL + "listeners: {data: {allowed_origins: ['https://a.example:1/'], public_url: 'https://g.example/a/'}}\n"
    )
    data = load_text(tmp_path, text).config.listeners.data
    assert (data.allowed_origins, data.url) == (("https://a.example:1",), "https://g.example/a")


def test_an_address_of_version_6_gets_its_brackets(tmp_path: Path) -> None:
    assert load_text(tmp_path, MINIMAL + "listeners: {data: {host: '::1'}}\n").config.listeners.data.url == (
        "http://[::1]:8080"
    )


def test_an_admin_listener_on_every_interface_is_a_warning(tmp_path: Path) -> None:
    text = (
        MINIMAL + "listeners: {admin: {host: 0.0.0.0, public_url: 'https://a.example', allowed_hosts: [a.example]}}\n"
    )
    assert findings_of(tmp_path, text) == ("listeners.admin.host: the admin listener is on every interface",)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "loop.cedar").symlink_to("loop.cedar")
    (tmp_path / "keys").mkdir()
    text = MINIMAL.replace("[main.cedar]", "[main.cedar, loop.cedar]").replace(
        '{kind: client_secret, secret: "env:PLANNER_SECRET"}',
        '{kind: private_key_jwt, jwks: "file:keys"}, {kind: client_secret, secret: "file:keys"}',
    )
    told = [(error.key, error.message) for error in errors_of(tmp_path, text)]
    assert told == [
        ("agents.planner.credentials[0].jwks", "`keys` cannot be read: Is a directory"),
        ("agents.planner.credentials[1].secret", "`file:keys` cannot be read: Is a directory"),
        ("policies.files[1]", "`loop.cedar` matches no file"),
    ]


def test_a_policy_elsewhere_is_shown_by_its_whole_path(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (tmp_path / "p.cedar").write_text("// elsewhere")
    loaded = load_text(below, MINIMAL.replace("[main.cedar]", f"['{tmp_path}/*.cedar']"))
    assert [policy.name for policy in loaded.policies] == [f"{tmp_path}/p.cedar"]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ((), "upstreams"),
        (("agents", "anyone"), "credentials"),
        (("agents", "anyone", "credentials", 0), "sha256"),
        (("agents", "anyone", "credentials", 3), "jwks"),
        (("upstreams", "any", "auth"), "token_url"),
        (("listeners", "admin"), "public_url"),
        (("budgets", 7), "window"),
    ],
)
def test_the_keys_of_every_place_are_known_for_hints(path: tuple[str | int, ...], key: str) -> None:
    assert key in known_keys(schema(), path)


def test_a_hint_names_the_nearest_word_or_the_few_there_are() -> None:
    assert did_you_mean("tine", ["time", "git"]) == "did you mean `time`?"
    assert did_you_mean("zzz", ["time", "git"]) == "known: `git`, `time`"
    assert did_you_mean("zzz", [f"n{number}" for number in range(9)]) == ""
    assert did_you_mean("zzz", []) == ""


def test_a_dotted_path_quotes_what_needs_it() -> None:
    assert dotted(("a", 0, "b-c", "*", "d e", "")) == 'a[0].b-c."*"."d e".""'


Values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**12),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.text("abz-_*:/. ", max_size=8),
    st.just([]),
    st.just({}),
    st.just(["a"]),
    st.just({"a": {"kind": "x"}}),
)


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document below its root."""
    members: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        members = list(cast("Mapping[str, object]", value).items())
    elif isinstance(value, list):
        members = list(enumerate(cast("list[object]", value)))
    below = [found for part, member in members for found in paths_of(member, (*path, part))]
    return [*([path] if path else []), *below]


def replaced(value: object, path: tuple[str | int, ...], new: object) -> object:
    if not path:
        return new
    if isinstance(value, dict):
        members = cast("Mapping[str, object]", value)
        return {key: replaced(member, path[1:], new) if key == path[0] else member for key, member in members.items()}
    items = cast("list[object]", value)
    return [replaced(item, path[1:], new) if at == path[0] else item for at, item in enumerate(items)]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_of_a_good_file_loads_or_is_told(tmp_path: Path, data: st.DataObject) -> None:
    document: object = yaml.safe_load(
        MINIMAL + "issuers: {i: {issuer: 'https://i', tenant: acme, claims: {}}}\nadmins: []"
    )
    for _ in range(data.draw(st.integers(1, 3))):
        document = replaced(document, data.draw(st.sampled_from(paths_of(document))), data.draw(Values))
    for error in errors_of(tmp_path, yaml.safe_dump(document)):
        assert error.message
        assert error.message != "this value is not allowed", "an error of pydantic without words of ours"
