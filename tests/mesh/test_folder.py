"""The folder of an API: imports that stay as they were, approvals that say which."""

from pathlib import Path

import pytest

from agent_gateway.mesh.folder import ApiFolder, Approval, Approvals
from agent_gateway.mesh.sources import Sources
from gateway_policies.refusal import BadRequest

URL = "https://x.example/openapi.yaml"
SPEC = b"openapi: 3.0.0"
SOURCES = Sources("openapi.yaml", URL, SPEC, lambda path: None)
FILES = {"openapi.yaml": b"openapi: 3.0.0", "parts/x.yaml": b"a: 1"}


def test_an_import_is_kept_as_it_came(tmp_path: Path) -> None:
    folder = ApiFolder(tmp_path / "pets")
    folder.begin("# nothing yet\n")
    name = folder.keep(SOURCES, FILES, folder.curation())
    kept = folder.imported(name)
    assert (dict(kept.files), kept.curation, kept.about.origin) == (
        FILES,
        b"# nothing yet\n",
        "https://x.example/openapi.yaml",
    )
    assert (kept.sources.body, kept.sources.read("parts/x.yaml"), kept.sources.read("no")) == (
        b"openapi: 3.0.0",
        b"a: 1",
        None,
    )
    assert folder.keep(SOURCES, FILES, folder.curation()) == name
    assert folder.keep(SOURCES, FILES, folder.curation(), {"GET /": "root"}) != name
    assert folder.keep(SOURCES, FILES, b"other") != name
    folder.begin("# another\n")
    assert folder.curation() == b"# nothing yet\n"


@pytest.mark.requirement("mesh.imports-are-pinned")
def test_an_import_that_was_changed_is_not_served(tmp_path: Path) -> None:
    folder = ApiFolder(tmp_path)
    name = folder.keep(SOURCES, FILES, b"")
    for file, body in (("files/openapi.yaml", b"evil"), ("files/new.yaml", b"x"), ("curation.yaml", b"x")):
        path = tmp_path / "sources" / name / file
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(body)
        with pytest.raises(BadRequest, match="was changed after it was kept"):
            folder.imported(name)
        path.write_bytes(before) if before is not None else path.unlink()
    assert folder.imported(name).about.entry == "openapi.yaml"
    for other in ("gone", "../../x", "", name[:8]):
        with pytest.raises(BadRequest):
            folder.imported(other)


def test_a_path_that_leads_out_is_not_written(tmp_path: Path) -> None:
    folder = ApiFolder(tmp_path / "a")
    for path in ("../x", "/x", "", "a\0b"):
        with pytest.raises(BadRequest):
            folder.keep(SOURCES, {**FILES, path: b"x"}, b"")
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == []


def test_approvals_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = ApiFolder(tmp_path)
    assert folder.approvals() == Approvals()
    told = Approvals(latest="b" * 16, tools={"b": Approval("c2", "b" * 16), "a": Approval("c1", "a" * 16)})
    folder.approve(told)
    assert folder.approvals() == told
    (tmp_path / "approved.json").write_text('{"tools": {"a": 5}}')
    with pytest.raises(BadRequest, match=r"approved\.json"):
        folder.approvals()


def test_imports_that_nothing_needs_are_removed(tmp_path: Path) -> None:
    folder = ApiFolder(tmp_path)
    names = [folder.keep(SOURCES, FILES, curation) for curation in (b"1", b"2", b"3")]
    folder.sweep(Approvals(latest=names[2], tools={"a": Approval("c", names[0])}))
    assert {one.name for one in (tmp_path / "sources").iterdir()} == {names[0], names[2]}
