"""Sources: the bytes of a description, from a file, a folder, an archive or a URL, within bounds.

Only what the operator names is read: a URL is one document, files stay below their folder, links and `..` in
archives are left out. Nothing a description refers to elsewhere is ever fetched.
"""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from gateway_policies.refusal import BadRequest

MAX_BYTES: Final = 64 * 1024 * 1024  # of one description, unpacked
MAX_FILES: Final = 10_000
FETCH_TIMEOUT_S: Final = 60.0
_NAMES: Final = ("openapi", "swagger", "api", "spec")
_ENDINGS: Final = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Sources:
    """One description.

    entry   path of the description itself, below the root
    origin  where it came from, for people
    files   members by path; for a folder, those read so far
    """

    entry: str
    origin: str
    body: bytes = field(repr=False)
    read: Callable[[str], bytes | None] = field(repr=False)


def from_path(path: Path, entry: str = "") -> Sources:
    """Return the description at a path: a file, a folder or an archive.

    entry  which file of a folder or archive it is; found out when that is plain
    Raises `BadRequest` (code `no_description`) when nothing there can be one, `OSError` when it cannot be read.
    """
    if path.is_dir():
        return _from_folder(path, entry)
    body = _bounded(path)
    if path.suffix == ".gz" and not path.name.endswith((".tar.gz",)):
        return Sources(path.stem, str(path), _unzipped(body), _nothing)
    if path.name.endswith((".zip", ".tar.gz", ".tgz", ".tar")):
        return from_members(unpacked(body, path.name), str(path), entry)
    return Sources(path.name, str(path), body, _reader(path.parent))


async def from_url(url: str, *, allow_private: bool) -> Sources:
    """Return the description at a URL: one document, or an archive; raises like `ControlClient`."""
    async with ControlClient(EgressRules(allow_private=allow_private), timeout_s=FETCH_TIMEOUT_S) as client:
        response = await client.get(url, max_bytes=MAX_BYTES)
    return from_body(url, response.body)


def from_body(url: str, body: bytes) -> Sources:
    """Return the description that a URL answered with; raises `BadRequest` like `from_path`."""
    name = PurePosixPath(urlsplit(url).path).name or "openapi.json"
    if name.endswith((".zip", ".tar.gz", ".tgz", ".tar")):
        return from_members(unpacked(body, name), url, "")
    return Sources(name, url, body, _nothing)


def from_members(members: Mapping[str, bytes], origin: str, entry: str) -> Sources:
    """Return the description among files that are in memory."""
    found = entry or _entry_of(members, members.__getitem__, origin)
    if found not in members:
        raise _none(origin, f"there is no `{found[:100]}` in it")
    return Sources(found, origin, members[found], lambda path: members.get(path))


def _from_folder(folder: Path, entry: str) -> Sources:
    read = _reader(folder)
    names = [path.relative_to(folder).as_posix() for path in _files(folder)]
    found = entry or _entry_of(names, lambda name: _bounded(folder / name), str(folder))
    body = read(found)
    if body is None:
        raise _none(str(folder), f"there is no `{found[:100]}` in it")
    return Sources(found, str(folder), body, read)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that may be descriptions, nearest first, without hidden ones and links."""
    count = 0
    for path in sorted(folder.rglob("*"), key=lambda one: (len(one.parts), one.as_posix())):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in _ENDINGS and not hidden and path.is_file() and not path.is_symlink():
            count += 1
            if count > MAX_FILES:
                return
            yield path


def _entry_of(names: "Mapping[str, bytes] | list[str]", read: Callable[[str], bytes], origin: str) -> str:
    """Return the one file that says it is a description; of several, the one nearest to the root with a usual name."""
    candidates = [name for name in names if name.endswith(_ENDINGS) and is_description(read(name))]
    if not candidates:
        raise _none(origin, "no file in it says `openapi` or `swagger`")
    depth = min(name.count("/") for name in candidates)
    near = [name for name in candidates if name.count("/") == depth]
    usual = [name for name in near if PurePosixPath(name).stem.lower().startswith(_NAMES)]
    chosen = usual if len(near) > 1 and usual else near
    if len(chosen) > 1:
        raise _none(origin, f"several files could be it: {', '.join(sorted(chosen)[:5])}; name one of them")
    return chosen[0]


def is_description(body: bytes) -> bool:
    """Say whether a file's beginning looks like an OpenAPI description."""
    head = body[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"{"):
        return b'"openapi"' in head or b'"swagger"' in head
    lines = (line.strip().strip(b"\"'") for line in head.splitlines())
    return any(line.startswith((b"openapi:", b"swagger:", b'openapi":', b"openapi':")) for line in lines)


# --- reading ---------------------------------------------------------------------------------


def _nothing(path: str) -> bytes | None:
    del path
    return None


def _reader(root: Path) -> Callable[[str], bytes | None]:
    """Return a reader of files below a folder; a path that leads out of it, by a link too, is not there."""
    base = root.resolve()

    def read(name: str) -> bytes | None:
        path = (base / name).resolve()
        if not path.is_relative_to(base) or not path.is_file():
            return None
        return _bounded(path)

    return read


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        body = file.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise _too_large(path.name)
    return body


def _unzipped(body: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            plain = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise _none("the archive", "it is no gzip file") from None
    if len(plain) > MAX_BYTES:
        raise _too_large("the archive")
    return plain


def unpacked(body: bytes, name: str) -> dict[str, bytes]:
    """Return the plain files of an archive by normalised path; links, devices and paths that climb are left out.

    Raises `BadRequest` for what is no archive and beyond `MAX_BYTES` or `MAX_FILES`.
    """
    try:
        members = _zip_members(body) if name.endswith(".zip") else _tar_members(body)
        found: dict[str, bytes] = {}
        total = 0
        for path, content in members:
            total += len(content)
            if total > MAX_BYTES or len(found) >= MAX_FILES:
                raise _too_large(name)
            parts = PurePosixPath(path).parts
            if not path.startswith("/") and "\\" not in path and ".." not in parts:
                found["/".join(part for part in parts if part != ".")] = content
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError):
        raise _none(name, "it is no archive that can be read") from None
    return found


def _tar_members(body: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:*") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            if file is not None:
                yield member.name, file.read(MAX_BYTES + 1)


def _zip_members(body: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        for member in archive.infolist():
            is_link = (member.external_attr >> 28) == 0o12
            if not member.is_dir() and not is_link:
                with archive.open(member) as file:
                    yield member.filename, file.read(MAX_BYTES + 1)


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return one digest over names and contents."""
    digest = sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _too_large(name: str) -> BadRequest:
    return BadRequest(
        f"`{name[:100]}` holds more than {MAX_BYTES} bytes or {MAX_FILES} files", code="description_too_large"
    )


def _none(where: str, why: str) -> BadRequest:
    return BadRequest(f"`{where[-100:]}` is no description: {why}", code="no_description")
