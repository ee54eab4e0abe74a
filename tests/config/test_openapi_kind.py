"""Upstreams that are APIs: their keys, what is refused, and the file that belongs to them."""

from pathlib import Path

import pytest

from agent_gateway.config.upstream_openapi import BasicAuth, KeyAuth, OpenApiUpstream
from support.config_files import MINIMAL, errors_of, load_text

API = "  pets: {kind: openapi, url: 'https://pets.example.com/v1'"


def with_api(more: str = "") -> str:
    return MINIMAL.replace("policies:", f"{API}{more}}}\npolicies:")


def test_an_api_needs_a_url_only(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, with_api())
    api = loaded.config.upstreams["pets"]
    assert isinstance(api, OpenApiUpstream)
    assert (api.folder_of("pets"), api.poll_s, api.answer_chars) == ("mesh/pets", 0.0, 32_000)
    assert loaded.base_dir / "mesh/pets/approved.json" in loaded.watched


def test_an_approval_is_part_of_the_configuration(tmp_path: Path) -> None:
    before = load_text(tmp_path, with_api(", folder: apis/pets")).digest
    (tmp_path / "apis/pets").mkdir(parents=True)
    (tmp_path / "apis/pets/approved.json").write_text("{}")
    after = load_text(tmp_path, with_api(", folder: apis/pets")).digest
    assert before != after


def test_schemes_hold_references_only(tmp_path: Path) -> None:
    basic = "{kind: basic, username: u, password: 'env:PETS_KEY'}"
    schemes = f", schemes: {{a: {{kind: key, value: 'env:PETS_KEY'}}, b: {basic}}}"
    loaded = load_text(tmp_path, with_api(schemes), PETS_KEY="k")
    api = loaded.config.upstreams["pets"]
    assert isinstance(api, OpenApiUpstream)
    key, pair = api.schemes["a"], api.schemes["b"]
    assert isinstance(key, KeyAuth)
    assert isinstance(pair, BasicAuth)
    assert loaded.reveal(key.value) == loaded.reveal(pair.password) == "k"
    found = errors_of(tmp_path, with_api(", schemes: {a: {kind: key, value: 'hunter2'}}"))
    assert "hunter2" not in str([str(problem) for problem in found])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (", servers: {'https://u': 'http://10.0.0.1/x'}", "arguments and credentials would travel in the clear"),
        (", servers: {'https://u': 'http://[::1]'}", "this URL leads to this machine, which is refused by default"),
        (", slashes_in: ['no dot']", "this text has a character or a form that is not allowed"),
        (", downloads: ['https://cdn.example/path']", "this is an origin: scheme, host and port only"),
        (", command: [x]", "unknown key `command`"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_api_is_told_at_its_place(tmp_path: Path, more: str, message: str) -> None:
    found = errors_of(tmp_path, with_api(more))
    assert message in {problem.message for problem in found}, [problem.message for problem in found]
    assert all(problem.key.startswith("upstreams.pets") for problem in found)
