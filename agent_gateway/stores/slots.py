"""Slots: which worker this process is, as long as it lives.

A slot is a number that at most one living process holds, guarded by an advisory lock on
`{dir}/{n}.lock`. Its name is also the name of that worker's audit log. The lock goes with
the process, however it ends, so a slot that can be taken belongs to nobody.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from gateway_policies.refusal import Unavailable

MAX_SLOTS = 256


class Slot:
    """A slot this process holds until `close`.

    Take it after forking: a child shares its parent's lock.
    """

    def __init__(self, name: str, lock: int) -> None:
        self.name = name
        self._lock: int | None = lock

    def close(self) -> None:
        """Let others have the slot; once is enough."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def acquire_slot(directory: Path, max_slots: int = MAX_SLOTS) -> Slot:
    """Take the lowest free slot, making the directory when it is missing.

    Raises `Unavailable` when `max_slots` processes hold one each, or the directory cannot be used.
    """
    for number in range(max_slots):
        slot = take_slot(directory, str(number))
        if slot is not None:
            return slot
    raise Unavailable(f"all {max_slots} worker slots are taken", hint="is another gateway running on this data?")


def take_slot(directory: Path, name: str) -> Slot | None:
    """Take one slot by name; None while a living process holds it. Raises `Unavailable`."""
    if not (name.isascii() and name.isdigit()):
        raise ValueError(f"`{name}` is no slot")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable("the worker slots cannot be used", hint="check the data directory") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError as error:
        os.close(lock)
        raise Unavailable("the worker slots cannot be locked", hint="a local disk is needed") from error
    return Slot(name, lock)


def take_every_slot(directory: Path, max_slots: int = MAX_SLOTS) -> list[Slot]:
    """Take all slots, so that no worker runs or starts; the caller closes them.

    Raises `Unavailable` while a living process holds one.
    """
    taken: list[Slot] = []
    for number in range(max_slots):
        slot = take_slot(directory, str(number))
        if slot is None:
            for one in taken:
                one.close()
            raise Unavailable("a gateway runs on this data", hint="stop it first")
        taken.append(slot)
    return taken


def recoverable_slots(directory: Path, in_use: Iterable[str]) -> list[Slot]:
    """Take those slots of `in_use` whose process is gone; the caller recovers and closes each.

    in_use  names, from the store's `slots_in_use`
    """
    taken = (take_slot(directory, name) for name in sorted(in_use))
    return [slot for slot in taken if slot is not None]
