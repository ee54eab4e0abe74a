"""Rings: secret keys in a file of the data directory, shared by workers, replaced in turn.

The newest key of a ring makes, all of them check. What a key is for is not
known here (`keys` signs, `sealing` seals).
"""

import fcntl
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from agent_gateway.ports import Clock

MAX_RING_BYTES = 256 * 1024
MAX_KEYS = 64


class RingBroken(RuntimeError):
    """The file of a ring is unreadable, open to others or not what was written; never replaced silently."""


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key. `retired_at` is when a newer one took over, None for the current key."""

    id: str
    created_at: float  # unix seconds
    secret: str = field(repr=False)
    retired_at: float | None = None


@dataclass(frozen=True, slots=True)
class _File:
    keys: tuple[RingKey, ...]  # oldest first; the last one is current


class Ring:
    """The keys of one file, followed as other processes change it.

    generate  makes a new (id, secret)
    keep_s    how long a retired key still checks
    Raises `RingBroken` from every method when the file is not to be trusted.
    """

    def __init__(self, path: Path, *, clock: Clock, generate: Callable[[], tuple[str, str]], keep_s: float) -> None:
        self._path = path
        self._clock = clock
        self._generate = generate
        self._keep_s = keep_s
        self._keys: tuple[RingKey, ...] = ()
        self._seen: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")
        self._open()

    def current(self) -> RingKey:
        """Return the key to make things with."""
        self._follow()
        return self._keys[-1]

    def get(self, key_id: str) -> RingKey | None:
        """Return a key that may still check, or None; an unknown id makes the file be looked at again."""
        self._follow()
        found = self._find(key_id)
        if found is None:
            self._reload_if_changed()
            found = self._find(key_id)
        return found

    def live(self) -> tuple[RingKey, ...]:
        """Return every key that may still check, oldest first."""
        self._reload_if_changed()
        return tuple(key for key in self._keys if self._is_live(key))

    def rotate(self, *, older_than_s: float = 0.0) -> RingKey:
        """Make a new current key, unless the present one is younger than `older_than_s`; return the current one.

        Keys retired longer than `keep_s` leave the file.
        """
        with self._locked():
            keys = self._read()
            now = self._clock()
            if now - keys[-1].created_at >= older_than_s:
                kept = [key for key in keys[:-1] if self._is_live(key)]
                retired = replace(keys[-1], retired_at=now)
                self._write((*kept, retired, self._new(now))[-MAX_KEYS:])
        self._reload_if_changed()
        return self._keys[-1]

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            if not self._path.exists():
                self._write((self._new(self._clock()),))
        self._reload_if_changed()

    def _new(self, now: float) -> RingKey:
        key_id, secret = self._generate()
        return RingKey(id=key_id, created_at=now, secret=secret)

    def _find(self, key_id: str) -> RingKey | None:
        return next((key for key in self._keys if key.id == key_id and self._is_live(key)), None)

    def _is_live(self, key: RingKey) -> bool:
        return key.retired_at is None or self._clock() <= key.retired_at + self._keep_s

    def _follow(self) -> None:
        """Look at the file at most once a second: this runs on the path of every call."""
        now = self._clock()
        if not 0 <= now - self._looked_at < 1.0:
            self._looked_at = now
            self._reload_if_changed()

    def _reload_if_changed(self) -> None:
        try:
            found = self._path.stat()
        except OSError as error:
            raise RingBroken(f"{self._path.name} cannot be looked at: {error.strerror}") from error
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen != self._seen:
            self._keys = self._read()
            self._seen = seen

    def _read(self) -> tuple[RingKey, ...]:
        try:
            with self._path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise RingBroken(f"{self._path.name} can be read by others; its mode must be 0600")
                data = file.read(MAX_RING_BYTES + 1)
            keys = msgspec.json.decode(data, type=_File).keys
        except (OSError, msgspec.DecodeError) as error:
            raise RingBroken(f"{self._path.name} cannot be read") from error
        if not keys or len(data) > MAX_RING_BYTES:
            raise RingBroken(f"{self._path.name} holds no keys, or too many")
        return keys

    def _write(self, keys: tuple[RingKey, ...]) -> None:
        temporary = self._path.with_name(f".{self._path.name}.new")
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(_File(keys)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        handle = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
