"""What an import found: kept in order, each finding once, up to a limit."""

from context_mesh.openapi.files import BrokenReference
from context_mesh.openapi.limits import Limits
from context_mesh.openapi.model import Finding, Severity


class Report:
    """Findings as they come up."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.max_findings
        self._found: dict[tuple[str, str, str], Finding] = {}
        self._unsaid = 0

    def add(self, severity: Severity, code: str, where: tuple[str, str], reason: str) -> None:
        """Note something; `where` is a file and a pointer in it. The same thing twice is one finding."""
        pointer = f"{where[0]}#{where[1]}"
        key = (code, pointer, reason)
        if key in self._found:
            return
        if len(self._found) < self._limit:
            self._found[key] = Finding(severity, code, pointer, reason)
        else:
            self._unsaid += 1

    def broken(self, error: BrokenReference, where: tuple[str, str]) -> None:
        """Note a reference that leads nowhere."""
        self.add("warning", error.code, where, error.reason)

    def findings(self) -> tuple[Finding, ...]:
        """Return everything, and how much more there was."""
        found = tuple(self._found.values())
        if self._unsaid:
            found += (Finding("warning", "more-findings", "#", f"there are {self._unsaid} more findings"),)
        return found
