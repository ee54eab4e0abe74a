"""Measuring: start the systems, check each, then sample them in turn, round after round.

Interleaving is what makes ratios hold on a shared machine: a noisy minute hits every system alike.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from demos.bench import load, machine, serving
from demos.bench.recipes import Ground, Recipe, System, Unfit, check
from demos.bench.stats import Key, Sample

WARM_UP_S = 1.0
WARM_UP_CONNECTIONS = 16
QUIET_WAIT_S = 2.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard: every (round, connections, system) is one sample of `seconds`."""

    rounds: int
    seconds: float
    connections: Sequence[int]
    by: load.Generator


@dataclass(frozen=True, slots=True)
class Absence:
    """A system that was not measured, and why. `failed` ones should have been there."""

    name: str
    why: str
    kind: Literal["skipped", "failed"]


@contextmanager
def running(
    recipes: Iterable[Recipe], ground: Ground, say: Say
) -> Generator[tuple[list[System], list[Absence]], None, None]:
    """Within this block every system that can run does, checked; at its end all are stopped."""
    systems: list[System] = []
    absences: list[Absence] = []
    with ExitStack() as stack:
        for recipe in recipes:
            try:
                system = recipe.start(ground)
            except serving.Missing as missing:
                absences.append(Absence(recipe.name, str(missing), "skipped"))
                say(f"skipped {recipe.name}: {missing}")
                continue
            except serving.StartFailed as failed:
                absences.append(Absence(recipe.name, str(failed), "failed"))
                say(f"FAILED {recipe.name}: {failed}")
                continue
            try:
                check(system)
            except (Unfit, OSError) as unfit:
                if system.server is not None:
                    serving.stop(system.server)
                absences.append(Absence(recipe.name, str(unfit), "failed"))
                say(f"FAILED {recipe.name}: {unfit}")
                continue
            if system.server is not None:
                stack.callback(serving.stop, system.server)
            refuses = f"; refuses {' and '.join(system.denied)}" if system.denied else ""
            say(f"up {system.name}: {system.version or recipe.what}{refuses}")
            systems.append(system)
        yield systems, absences


def measure(
    systems: Sequence[System], plan: Plan, cores: machine.Cores, scratch: Path, say: Say
) -> dict[Key, list[Sample]]:
    """Warm every system up, then sample all in turn; return the samples by (name, connections)."""
    samples: dict[Key, list[Sample]] = {}
    for system in systems:
        sample(system, WARM_UP_CONNECTIONS, WARM_UP_S, plan.by, cores, scratch)
    for round_number in range(1, plan.rounds + 1):
        for connections in plan.connections:
            for system in systems:
                machine.wait_for_quiet(cores.sut, longest_s=QUIET_WAIT_S)
                taken = sample(system, connections, plan.seconds, plan.by, cores, scratch)
                samples.setdefault((system.name, connections), []).append(taken)
        say(f"round {round_number} of {plan.rounds} done")
    return samples


def sample(
    system: System, connections: int, seconds: float, by: load.Generator, cores: machine.Cores, scratch: Path
) -> Sample:
    """Load one system once and return what it gave and what it cost."""
    pid = system.server.pid if system.server is not None else None
    core_before = machine.core_times(cores.sut)
    cpu_before = machine.cpu_ns(pid) if pid is not None else 0
    result = load.drive(system.target, connections, seconds, by=by, core=cores.load, scratch=scratch)
    used_ns = machine.cpu_ns(pid) - cpu_before if pid is not None else 0
    core_after = machine.core_times(cores.sut)
    return Sample(
        requests=result.requests,
        rps=result.rps,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        failures=result.failures,
        foreign_load=machine.foreign_load(core_before, core_after, used_ns / 1e9),
        cpu_us=used_ns / 1e3 / result.requests if pid is not None and result.requests else None,
        rss_mb=machine.rss_mb(pid) if pid is not None else None,
    )
