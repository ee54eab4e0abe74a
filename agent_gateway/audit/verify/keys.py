"""Which key may sign which checkpoint of a log, by what the log itself says of its keys.

A record says that one key follows another, and stands last under a checkpoint that both
have signed. Once a trusted key proves to have signed a head over that record, the other
is known too: the new one from there on, the old one up to there and no further.
"""

from collections.abc import Mapping
from typing import Any

from .proofs import keys_of_change


class Keys:
    """The keys of one log.

    trusted  those that speak for every log; a new key that is learned joins them
    """

    def __init__(self, trusted: list[str]) -> None:
        self._trusted = trusted
        self._until: dict[str, int] = {}  # keys that were followed, and the last size they sign
        self._heard: list[tuple[str, str, int]] = []  # old, new, size: changes that no trusted head covers yet

    def at(self, size: int) -> list[str]:
        """Return the keys that may sign a checkpoint of this size."""
        known = [*self._trusted, *(one for one in self._until if one not in self._trusted)]
        return [one for one in known if size <= self._until.get(one, size)]

    def hear(self, record: Mapping[str, Any], index: int) -> None:
        """Note what a record says of keys; nothing is believed before `learn`."""
        if record.get("kind") == "key" and (pair := keys_of_change(record)) is not None:
            self._heard.append((*pair, index + 1))

    def learn(self, origin: str) -> bool:
        """Believe what was heard of a name's keys, now that a trusted key of this name has signed for it.

        origin  of what was signed: `name/slot`, or `name`

        Returns whether that is anything new.
        """
        is_new = False
        names = (origin, origin.rpartition("/")[0])
        told = [one for one in self._heard if one[0].partition("+")[0] in names]
        while known := [
            one for one in told if one in self._heard and {*self._trusted, *self._until}.intersection(one[:2])
        ]:
            for change in known:
                self._heard.remove(change)
                old, new, size = change
                self._until[old] = size
                if new not in self._trusted and new not in self._until:
                    self._trusted.append(new)
            is_new = True
        return is_new
