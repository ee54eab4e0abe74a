"""A recorder in memory, which is durable when the test says so."""

from collections.abc import Mapping, Sequence

import orjson

from agent_gateway.ports import Told
from gateway_policies.refusal import Unavailable


class FakeRecorder:
    """`Recorder` that keeps its records; with `is_instant` each is durable as soon as it is appended."""

    def __init__(self, *, is_instant: bool = True) -> None:
        self.records: list[Mapping[str, object]] = []
        self.is_instant = is_instant
        self.fault = ""
        self._durable_count = 0

    def append(self, record: Mapping[str, object]) -> int:
        self.records.append(record)
        if self.is_instant:
            self._durable_count = len(self.records)
        return len(self.records) - 1

    def append_line(self, line: bytes, kind: object) -> int:
        record = orjson.loads(line)
        assert record["kind"] == kind
        return self.append(record)

    def when_durable(self, index: int, told: Told) -> None:
        told(None if index < self._durable_count else Unavailable("the fake log was not made durable"))

    async def durable(self, index: int) -> None:
        if index >= self._durable_count:
            raise Unavailable("the fake log was not made durable")

    @property
    def durable_count(self) -> int:
        return self._durable_count

    def make_durable(self, count: int | None = None) -> None:
        """Make the first `count` records durable; None: all."""
        self._durable_count = max(self._durable_count, len(self.records) if count is None else count)

    def crash(self) -> None:
        """Lose what was not durable."""
        del self.records[self._durable_count :]

    def records_after(self, index: int) -> Sequence[Mapping[str, object]]:
        """Return the durable records above `index`, as a reader of the file would."""
        return self.records[index + 1 : self._durable_count]
