"""Reports: a table for people and JSON lines for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from demos.bench.measure import Absence, Say
from demos.bench.stats import Key, Sample, Summary, ratios

HEADINGS = (
    "conn",
    "RPS",
    "of {}",
    "p50 ms",
    "p99 ms",
    "CPU µs",
    "{} CPU / its",
    "RPS per core",
    "RSS MB",
    "foreign",
    "failed",
)


def show(say: Say, summaries: Mapping[Key, Summary], reference: str, absences: Sequence[Absence]) -> None:
    """Print the table, then whoever is not in it and why."""
    lines = [["system", *(heading.format(reference) for heading in HEADINGS)]]
    for (name, connections), summary in sorted(summaries.items(), key=lambda item: item[0][1]):
        lines.append(row(name, connections, summary, summaries.get((reference, connections))))
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        say("  ".join([first.ljust(widths[0]), *cells]))
    for absence in absences:
        say(f"{absence.kind}: {absence.name}: {absence.why}")


def row(name: str, connections: int, summary: Summary, reference: Summary | None) -> list[str]:
    """Return the cells of one line; `-` where there is no such figure."""
    beside = ratios(summary, reference) if reference is not None else None
    return [
        name,
        str(connections),
        f"{summary.rps:,.0f}",
        _cell(beside.rps if beside else None, 2),
        f"{summary.p50_ms:.3f}",
        f"{summary.p99_ms:.2f}",
        _cell(summary.cpu_us, 1),
        _cell(beside.cpu if beside else None, 3),
        _cell(summary.rps_per_core, 0),
        _cell(summary.rss_mb, 0),
        f"{summary.foreign_load:.2f}",
        str(summary.failures),
    ]


def write_lines(
    path: Path,
    about: Mapping[str, object],
    samples: Mapping[Key, Sequence[Sample]],
    summaries: Mapping[Key, Summary],
    absences: Sequence[Absence],
) -> None:
    """Append one JSON line about the run, one per system and number of connections, one per absent system.

    Each line has a `type`: `run`, `system` or `absent`.
    """
    lines: list[dict[str, object]] = [{"type": "run", **about}]
    for (name, connections), summary in summaries.items():
        lines.append(
            {
                "type": "system",
                "name": name,
                "connections": connections,
                **asdict(summary),
                "rps_per_core": summary.rps_per_core,
                "all_samples": [asdict(sample) for sample in samples[name, connections]],
            }
        )
    lines.extend({"type": "absent", **asdict(absence)} for absence in absences)
    with path.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)


def _cell(figure: float | None, digits: int) -> str:
    return "-" if figure is None else f"{figure:,.{digits}f}"
