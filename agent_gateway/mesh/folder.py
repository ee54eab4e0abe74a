"""The folder of an API: what was imported, byte for byte, and what of it somebody approved.

    mesh/pets/
      curation.yaml           what people changed; read with the next import
      approved.json           which tools are served, and from which import
      sources/1f0c…/          one import: its files, the curation it was made with, where it came from

A tool goes on being served from the import it was approved in, whatever later imports say. Everything is
text and fit for a repository; the digest of an import is checked before anything of it is served.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from agent_gateway.mesh.sources import MAX_BYTES, MAX_FILES, Sources, digest_of
from gateway_policies.refusal import BadRequest

APPROVED: Final = "approved.json"
CURATION: Final = "curation.yaml"
MAX_CURATION_BYTES: Final = 1024 * 1024
_ABOUT: Final = "import.json"


class Approval(msgspec.Struct, frozen=True):
    """One tool that is served: the contract somebody approved, and the import that it is made from."""

    contract: str
    source: str


class Approvals(msgspec.Struct, frozen=True):
    """`approved.json`. `latest` is the newest import, approved or not."""

    version: int = 1
    latest: str = ""
    tools: Mapping[str, Approval] = {}


class About(msgspec.Struct, frozen=True):
    """`import.json`: the entry file of one import, where it came from, and the tool names that it had to keep."""

    entry: str
    origin: str
    digest: str
    names: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Import:
    """One import as it was kept."""

    about: About
    files: Mapping[str, bytes] = field(repr=False)
    curation: bytes = field(repr=False)

    @property
    def sources(self) -> Sources:
        files = self.files
        return Sources(self.about.entry, self.about.origin, files[self.about.entry], files.get)


class ApiFolder:
    """Reads and writes one folder; raises `OSError` when the disk does not play along."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def approvals(self) -> Approvals:
        """Return what is approved; nothing when there is no such file. Raises `BadRequest` for one that is no such."""
        try:
            body = (self.path / APPROVED).read_bytes()
        except FileNotFoundError:
            return Approvals()
        try:
            return msgspec.json.decode(body, type=Approvals)
        except msgspec.DecodeError as error:
            raise _broken(f"`{APPROVED}`: {error}") from None

    def approve(self, approvals: Approvals) -> None:
        """Write what is approved, whole or not at all."""
        tools = {
            name: {"contract": one.contract, "source": one.source} for name, one in sorted(approvals.tools.items())
        }
        told = {"version": approvals.version, "latest": approvals.latest, "tools": tools}
        _write(self.path / APPROVED, (json.dumps(told, indent=1) + "\n").encode())

    def curation(self) -> bytes:
        """Return the curation as people left it, empty when there is none."""
        try:
            with (self.path / CURATION).open("rb") as file:
                return file.read(MAX_CURATION_BYTES + 1)[:MAX_CURATION_BYTES]
        except FileNotFoundError:
            return b""

    def begin(self, curation: str) -> None:
        """Make the folder, with a curation to begin with unless there is one."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / CURATION).exists():
            _write(self.path / CURATION, curation.encode())

    def keep(
        self, sources: Sources, files: Mapping[str, bytes], curation: bytes, names: Mapping[str, str] | None = None
    ) -> str:
        """Keep an import and return its name; the same files, curation and names have the same name.

        files  those of `sources` that the description really refers to, the entry among them
        names  tool names by operation key, of earlier imports
        """
        digest = _digest(files, curation, names or {})
        name = digest[:16]
        target = self.path / "sources" / name
        if target.is_dir():
            return name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".import-", dir=target.parent))
        try:
            for path, body in files.items():
                file = draft / "files" / _safe(path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(body)
            (draft / CURATION).write_bytes(curation)
            about = {"entry": sources.entry, "origin": sources.origin, "digest": digest, "names": names or {}}
            (draft / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", "utf-8")
            draft.chmod(0o755)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return name

    def imported(self, name: str) -> Import:
        """Return an import; raises `BadRequest` when it is not there, or not as it was."""
        folder = self.path / "sources" / PurePosixPath(name).name
        try:
            about = msgspec.json.decode((folder / _ABOUT).read_bytes(), type=About)
            curation = (folder / CURATION).read_bytes()
            files = _files(folder / "files")
        except (OSError, msgspec.DecodeError):
            raise _broken(f"the import `{name[:32]}` is not there") from None
        digest = _digest(files, curation, about.names)
        if digest != about.digest or not digest.startswith(name) or len(name) < 16 or about.entry not in files:
            raise _broken(f"the import `{name[:32]}` was changed after it was kept")
        return Import(about, files, curation)

    def sweep(self, approvals: Approvals) -> None:
        """Remove imports that no approved tool comes from and that are not the latest."""
        wanted = {approvals.latest, *(one.source for one in approvals.tools.values())}
        for folder in (self.path / "sources").glob("*"):
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)


def _digest(files: Mapping[str, bytes], curation: bytes, names: Mapping[str, str]) -> str:
    parts = {f"files/{path}": body for path, body in files.items()}
    return digest_of({**parts, "curation": curation, "names": json.dumps(names, sort_keys=True).encode()})


def _files(root: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    total = 0
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            body = path.read_bytes()
            total += len(body)
            if total > MAX_BYTES or len(found) >= MAX_FILES:
                raise _broken("an import is larger than it may be")
            found[path.relative_to(root).as_posix()] = body
    return found


def _safe(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise _broken(f"`{path[:100]}` is no path below a folder")
    return path


def _write(path: Path, body: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(body)
    os.replace(draft, path)


def _broken(why: str) -> BadRequest:
    return BadRequest(f"the folder of this API cannot be used: {why}", code="broken_api_folder")
