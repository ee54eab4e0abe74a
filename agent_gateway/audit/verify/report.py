"""What a verification says: findings, counts, and the calls that are still open."""

from dataclasses import dataclass, field

MAX_LISTED = 1_000  # findings that a report lists


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold. `batch` (its first record) and `index` count records from 0."""

    log: str
    code: str
    text: str
    batch: int | None = None
    index: int | None = None
    call: str = ""

    def __str__(self) -> str:
        places = (("batch", self.batch), ("record", self.index), ("call", self.call or None))
        where = "".join(f", {name} {value}" for name, value in places if value is not None)
        return f"log {self.log}{where}: {self.text} [{self.code}]"


@dataclass(slots=True)
class Report:
    """What was checked and what was found.

    unanchored  records after the last checkpoint: hashed, but signed by nobody yet
    open        calls that were permitted and have no outcome (they run, or their worker died)
    """

    logs: int = 0
    records: int = 0
    unanchored: int = 0
    checkpoints: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])
    open: list[str] = field(default_factory=list[str])

    @property
    def is_ok(self) -> bool:
        """Nothing was found."""
        return not self.findings

    def add(self, finding: Finding) -> None:
        if len(self.findings) < MAX_LISTED:
            self.findings.append(finding)
