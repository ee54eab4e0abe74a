"""Where descriptions come from: files, folders, archives and URLs, and what is not read from them."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from agent_gateway.mesh import sources
from agent_gateway.mesh.sources import from_path, from_url, is_description, unpacked
from gateway_policies.refusal import BadRequest, UpstreamFailed, UpstreamUnreachable
from support.api_backend import serving

SPEC = b'{"openapi": "3.1.0", "paths": {}}'


def test_a_file_may_refer_to_its_neighbours_and_no_further(tmp_path: Path) -> None:
    root = tmp_path / "api"
    (root / "parts").mkdir(parents=True)
    (root / "openapi.json").write_bytes(SPEC)
    (root / "parts/x.yaml").write_text("a: 1")
    (tmp_path / "secret.yaml").write_text("no")
    (root / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    found = from_path(root / "openapi.json")
    assert (found.entry, found.body, found.read("parts/x.yaml")) == ("openapi.json", SPEC, b"a: 1")
    for outside in ("../secret.yaml", "link.yaml", "gone.yaml", "parts", "/etc/passwd"):
        assert found.read(outside) is None


def test_a_folder_has_one_description(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/none").mkdir()
    (tmp_path / "deep/er/openapi.yaml").write_text("openapi: 3.0.0")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden/openapi.json").write_bytes(SPEC)
    (tmp_path / "other.json").write_text("{}")
    assert from_path(tmp_path).entry == "deep/er/openapi.yaml"
    (tmp_path / "pets.yml").write_text("# pets\nopenapi: 3.0.0")
    assert from_path(tmp_path).entry == "pets.yml"
    (tmp_path / "swagger.json").write_text('{"swagger": "2.0"}')
    assert from_path(tmp_path).entry == "swagger.json"
    (tmp_path / "openapi.json").write_bytes(SPEC)
    with pytest.raises(BadRequest, match=r"several files could be it: openapi\.json, swagger\.json"):
        from_path(tmp_path)
    assert from_path(tmp_path, "pets.yml").entry == "pets.yml"
    with pytest.raises(BadRequest, match="there is no `gone`"):
        from_path(tmp_path, "gone")
    with pytest.raises(BadRequest, match="no file in it says"):
        from_path(tmp_path / "deep" / "none")


def tarred(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        link = tarfile.TarInfo("link.yaml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
        link = zipfile.ZipInfo("link.yaml")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.mkdir("folder")
    return buffer.getvalue()


MEMBERS = {
    "x/openapi.yaml": b"openapi: 3.0.0",
    "x/part.yaml": b"a: 1",
    "../out.yaml": b"no",
    "/abs.yaml": b"no",
    "./y.yaml": b"b",
}


@pytest.mark.requirement("mesh.sources-stay-inside")
@pytest.mark.parametrize(("name", "pack"), [("a.tar.gz", tarred), ("a.tgz", tarred), ("a.zip", zipped)])
def test_an_archive_holds_plain_files_below_its_root(
    tmp_path: Path, name: str, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    (tmp_path / name).write_bytes(pack(MEMBERS))
    found = from_path(tmp_path / name)
    assert (found.entry, found.body, found.read("x/part.yaml")) == ("x/openapi.yaml", b"openapi: 3.0.0", b"a: 1")
    assert sorted(unpacked(pack(MEMBERS), name)) == ["x/openapi.yaml", "x/part.yaml", "y.yaml"]
    assert found.read("link.yaml") is None


@pytest.mark.requirement("mesh.sources-stay-inside")
def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = b"\0" * (sources.MAX_BYTES + 1)
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(bomb, 1))
    with pytest.raises(BadRequest) as refused:
        from_path(tmp_path / "x.json.gz")
    assert refused.value.code == "description_too_large"
    with pytest.raises(BadRequest) as refused:
        unpacked(zipped({"x.json": bomb}), "x.zip")
    assert refused.value.code == "description_too_large"
    for name in ("x.zip", "x.tar.gz", "x.json.gz"):
        (tmp_path / name).write_bytes(b"no archive")
        with pytest.raises(BadRequest) as refused:
            from_path(tmp_path / name)
        assert refused.value.code == "no_description"


def test_a_gzipped_file_is_one_description(tmp_path: Path) -> None:
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(SPEC))
    found = from_path(tmp_path / "x.json.gz")
    assert (found.entry, found.body, found.read("y")) == ("x.json", SPEC, None)


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        (SPEC, True), (b"\xef\xbb\xbf  {\n\"swagger\": \"2.0\"", True), (b"# hi\n\"openapi\": 3.0.0", True),
        (b"'openapi': 3", True),
        (b"{}", False), (b"asyncapi: 2\nx: openapi", False), (b"", False),
    ],
)  # fmt: skip
def test_a_description_shows_at_its_beginning(body: bytes, is_one: bool) -> None:
    assert is_description(body) is is_one


@pytest.mark.requirement("mesh.sources-stay-inside")
async def test_a_url_is_one_answer_without_redirects() -> None:
    async def spec(request: Request) -> Response:
        return PlainTextResponse(SPEC)

    async def away(request: Request) -> Response:
        return RedirectResponse("http://169.254.169.254/")

    async def archive(request: Request) -> Response:
        return Response(zipped(MEMBERS))

    routes = [Route("/openapi.json", spec), Route("/away", away), Route("/x.zip", archive)]
    async with serving(Starlette(routes=routes)) as url:
        found = await from_url(f"{url}/openapi.json", allow_private=True)
        assert (found.entry, found.body, found.read("x")) == ("openapi.json", SPEC, None)
        assert (await from_url(f"{url}/x.zip", allow_private=True)).entry == "x/openapi.yaml"
        with pytest.raises(UpstreamFailed):
            await from_url(f"{url}/away", allow_private=True)
        with pytest.raises(UpstreamUnreachable):
            await from_url(f"{url}/openapi.json", allow_private=False)
