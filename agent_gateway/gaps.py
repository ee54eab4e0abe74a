"""Bytes written once with gaps, to be filled again and again.

What most requests share is encoded by the code that encodes any request, with a
mark in each place that changes; filling the gaps costs a tenth of encoding anew.
"""

import secrets
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

TEXT_MARKS: Final = tuple(f"gap{secrets.token_hex(16)}" for _ in range(4))
NUMBER_MARKS: Final = tuple(2**62 + secrets.randbits(61) for _ in range(5))


class Gaps:
    """A text of bytes in which each of `marks` stands exactly once; else `ValueError`.

    marks  of this process, which nobody can guess: texts of `TEXT_MARKS`, numbers of `NUMBER_MARKS`
    """

    __slots__ = ("_in_order", "_template")

    def __init__(self, text: bytes, marks: Sequence[str | int]) -> None:
        template = text.replace(b"%", b"%%")
        at: list[int] = []
        for mark in marks:
            written = str(mark).encode()
            if template.count(written) != 1:
                raise ValueError("a mark must stand exactly once")
            at.append(template.index(written))
        for mark in marks:
            template = template.replace(str(mark).encode(), b"%d" if isinstance(mark, int) else b"%b")
        self._template = template
        self._in_order = None if at == sorted(at) else itemgetter(*sorted(range(len(marks)), key=at.__getitem__))

    def fill(self, *values: bytes | int) -> bytes:
        """Return the text with `values` in place of the marks, given in the order of the marks.

        Marks that are given in the order in which they stand save the sorting.
        """
        return self._template % (values if self._in_order is None else self._in_order(values))
