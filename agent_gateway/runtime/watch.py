"""Noticing that configuration changed on disk: by content, so that a touch is not a change."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

POLL_EVERY_S = 1.0
_MAX_FILE_BYTES = 16 * 1024 * 1024


def fingerprint(paths: Iterable[Path]) -> str:
    """Return a digest of names and contents; a missing or unreadable file counts as such."""
    digest = hashlib.sha256()
    for path in sorted(set(paths)):
        digest.update(str(path).encode() + b"\0")
        try:
            with path.open("rb") as file:
                digest.update(file.read(_MAX_FILE_BYTES))
        except OSError as error:
            digest.update(type(error).__name__.encode())
        digest.update(b"\0")
    return digest.hexdigest()


class Watch:
    """Waits until the files named by `paths` differ from when they were last looked at.

    seen  their fingerprint from before they were read, so that a change while they are put to use is noticed;
          None: what they are now counts as known
    """

    def __init__(
        self, paths: Callable[[], Iterable[Path]], poll_every_s: float = POLL_EVERY_S, seen: str | None = None
    ) -> None:
        self._paths = paths
        self._poll_every_s = poll_every_s
        self._nudged = asyncio.Event()
        self._seen = fingerprint(paths()) if seen is None else seen

    def nudge(self) -> None:
        """End the wait at once, changed or not (SIGHUP)."""
        self._nudged.set()

    async def changed(self) -> None:
        """Return when something changed, or when nudged."""
        while True:
            try:
                async with asyncio.timeout(self._poll_every_s):
                    await self._nudged.wait()
            except TimeoutError:
                now = await asyncio.to_thread(fingerprint, list(self._paths()))
                if now == self._seen:
                    continue
                self._seen = now
                return
            self._nudged.clear()
            self._seen = await asyncio.to_thread(fingerprint, list(self._paths()))
            return
