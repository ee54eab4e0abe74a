"""Kept answers: what was too large to be shown, for a while, for whoever asked and nobody else.

Files in one directory that all workers of a machine share. A handle is worth nothing to another
principal: it is looked up as (owner, handle). Blocks for milliseconds: call it in a thread.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from agent_gateway.ports import Clock

TTL_S: Final = 900.0
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
MAX_TOTAL_BYTES: Final = 256 * 1024 * 1024
_HANDLE: Final = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    ttl_s: float = TTL_S
    max_answer: int = MAX_ANSWER_BYTES
    max_total: int = MAX_TOTAL_BYTES


class KeptAnswers:
    """Answers in a directory of their own, which is made when the first one comes."""

    def __init__(self, directory: Path, clock: Clock, limits: AnswerLimits | None = None) -> None:
        self._directory = directory
        self._clock = clock
        self._limits = limits or AnswerLimits()

    def keep(self, owner: Sequence[str], whole: object) -> str:
        """Keep a JSON value, a text or bytes; return its handle, empty when there is no room for it, or no disk."""
        payload = b"b" + whole if isinstance(whole, bytes) else b"j" + json.dumps(whole, ensure_ascii=True).encode()
        if len(payload) > self._limits.max_answer:
            return ""
        try:
            return self._written(owner, payload)
        except OSError:  # the call has been made, and its answer is worth more than the rest of it
            return ""

    def _written(self, owner: Sequence[str], payload: bytes) -> str:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._swept() + len(payload) > self._limits.max_total:
            return ""
        handle = secrets.token_urlsafe(16)
        path = self._path(owner, handle)
        draft = path.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(payload)
        now = self._clock()
        os.utime(draft, (now, now))
        draft.rename(path)
        return handle

    def find(self, owner: Sequence[str], handle: str) -> object:
        """Return what is kept; raises `KeyError` for a handle that is unknown, too old, or another owner's."""
        if not _HANDLE.fullmatch(handle):
            raise KeyError(handle)
        path = self._path(owner, handle)
        try:
            if self._clock() - path.stat().st_mtime > self._limits.ttl_s:
                raise KeyError(handle)
            payload = path.read_bytes()
        except OSError:
            raise KeyError(handle) from None
        return payload[1:] if payload[:1] == b"b" else cast("object", json.loads(payload[1:]))

    def _path(self, owner: Sequence[str], handle: str) -> Path:
        key = hashlib.sha256("\0".join((*owner, handle)).encode()).hexdigest()
        return self._directory / key

    def _swept(self) -> int:
        """Remove what is too old; return how many bytes are left."""
        total = 0
        now = self._clock()
        for entry in os.scandir(self._directory):
            try:
                found = entry.stat()
                if now - found.st_mtime > self._limits.ttl_s:
                    Path(entry.path).unlink()
                else:
                    total += found.st_size
            except FileNotFoundError:
                continue  # another worker swept it
        return total
