"""Grants that people gave: one file for each upstream, private to the operator, shared by all workers.

`{data_dir}/grants/{upstream}.json` (0600) holds the client, the tokens and what they are for. Refresh tokens
are replaced when they are used, so whoever refreshes holds the file's lock.
"""

import fcntl
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from agent_gateway.grants.client import Client
from agent_gateway.grants.tokens import Tokens
from gateway_policies.refusal import Unavailable

MAX_FILE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Grant:
    """What one authorization server gave the gateway for one upstream.

    issuer, resource  of whom, and for what: it serves for nothing else
    wanted            scopes that the upstream asked for since; the next login asks for them too
    """

    issuer: str
    resource: str
    client: Client
    tokens: Tokens
    wanted: tuple[str, ...] = ()


class GrantStore:
    """The grants of one data directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, upstream: str) -> Grant | None:
        """Return the grant for an upstream, None when there is none; raises `Unavailable` for one not to be trusted."""
        try:
            with self._path(upstream).open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise _broken(upstream, "can be read by others; its mode must be 0600")
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _broken(upstream, "cannot be read") from error
        try:
            return _GRANT.decode(data)
        except msgspec.DecodeError as error:
            raise _broken(upstream, "is not what was written") from error

    def stamp(self, upstream: str) -> tuple[int, int]:
        """Return what changes with the file: two that are equal are of the same grant."""
        try:
            found = self._path(upstream).stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_ino)

    def write(self, upstream: str, grant: Grant) -> None:
        """Keep a grant in place of the one before; call it with the lock held."""
        path = self._path(upstream)
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(grant))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def forget(self, upstream: str) -> bool:
        """Drop a grant; return whether there was one."""
        with self.locked(upstream):
            is_there = self._path(upstream).exists()
            self._path(upstream).unlink(missing_ok=True)
        return is_there

    @contextmanager
    def locked(self, upstream: str) -> Generator[None]:
        """Hold the lock of an upstream's grant against every other process, and thread."""
        handle = self.acquire(upstream)
        try:
            yield
        finally:
            os.close(handle)

    def acquire(self, upstream: str) -> int:
        """Take the lock, however long that takes (never on an event loop); closing what is returned ends it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._folder / f"{upstream}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _path(self, upstream: str) -> Path:
        return self._folder / f"{upstream}.json"


def _broken(upstream: str, why: str) -> Unavailable:
    return Unavailable(f"the grant file of `{upstream}` {why}", code="credential_unavailable")


_GRANT: Final = msgspec.json.Decoder(Grant)
