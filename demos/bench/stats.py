"""Statistics of a run: which samples to believe, what they say together, and the ratios between systems.

Pure: no clock, no process, no file. CPU time per request is the number to compare; on a shared
machine rates move by a factor of two within one run while CPU time moves by a tenth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Key = tuple[str, int]  # name of the system under test, connections


@dataclass(frozen=True, slots=True)
class Sample:
    """One system under load for a few seconds.

    cpu_us        CPU time of its whole process tree per request; None when it has no process of its own
    foreign_load  0..1: the share of its core that others took meanwhile
    """

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float
    failures: int
    foreign_load: float
    cpu_us: float | None = None
    rss_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What the quietest half of the samples says: medians; failures are the sum over all samples."""

    samples: int
    believed: int
    requests: int
    failures: int
    rps: float
    p50_ms: float
    p99_ms: float
    foreign_load: float
    cpu_us: float | None
    rss_mb: float | None

    @property
    def rps_per_core(self) -> float | None:
        """Requests per second that one whole core would carry, from CPU time."""
        return 1e6 / self.cpu_us if self.cpu_us else None


@dataclass(frozen=True, slots=True)
class Ratios:
    """One system beside the reference, at the same number of connections; above 1 is better than it."""

    rps: float
    cpu: float | None


@dataclass(frozen=True, slots=True)
class Floor:
    """The least CPU ratio that `name` may show beside `reference`."""

    name: str
    reference: str
    least: float


def quietest_half(samples: Sequence[Sample]) -> list[Sample]:
    """Return the half of the samples with the least foreign load, rounded up, at least one of any."""
    by_noise = sorted(samples, key=lambda sample: sample.foreign_load)
    return by_noise[: (len(by_noise) + 1) // 2]


def summarise(samples: Sequence[Sample]) -> Summary:
    """Return the medians of the quietest half; `samples` holds at least one."""
    quiet = quietest_half(samples)
    cpu = [sample.cpu_us for sample in quiet if sample.cpu_us is not None]
    rss = [sample.rss_mb for sample in quiet if sample.rss_mb is not None]
    return Summary(
        samples=len(samples),
        believed=len(quiet),
        requests=sum(sample.requests for sample in samples),
        failures=sum(sample.failures for sample in samples),
        rps=median(sample.rps for sample in quiet),
        p50_ms=median(sample.p50_ms for sample in quiet),
        p99_ms=median(sample.p99_ms for sample in quiet),
        foreign_load=median(sample.foreign_load for sample in quiet),
        cpu_us=median(cpu) if cpu else None,
        rss_mb=median(rss) if rss else None,
    )


def ratios(summary: Summary, reference: Summary) -> Ratios:
    """Return how `summary` stands beside `reference`: RPS over its RPS, its CPU time over ours."""
    cpu = reference.cpu_us / summary.cpu_us if summary.cpu_us and reference.cpu_us else None
    return Ratios(rps=summary.rps / reference.rps if reference.rps else 0.0, cpu=cpu)


def broken_floors(summaries: Mapping[Key, Summary], floors: Sequence[Floor]) -> list[str]:
    """Return a sentence for every floor that is broken, at any number of connections above one.

    One connection measures latency, not cost: every system then pays a wake-up per event.
    A floor without a measured system or reference is broken, and so is any failed request.
    """
    broken = [
        f"{name} failed {summary.failures} of {summary.requests} requests at {connections} connections"
        for (name, connections), summary in summaries.items()
        if summary.failures
    ]
    for floor in floors:
        pairs = [
            (connections, ratios(summary, summaries[floor.reference, connections]).cpu)
            for (name, connections), summary in summaries.items()
            if name == floor.name and connections > 1 and (floor.reference, connections) in summaries
        ]
        if not pairs:
            broken.append(f"{floor.name} was not measured beside {floor.reference} with more than one connection")
        for connections, cpu in pairs:
            if cpu is None or cpu < floor.least:
                seen = "no CPU time" if cpu is None else f"{cpu:.3f}"
                broken.append(
                    f"{floor.reference} CPU / {floor.name} CPU is {seen} at {connections} connections,"
                    f" the floor is {floor.least}"
                )
    return broken
