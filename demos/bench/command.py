"""The benchmark's command line: a set of systems, measured beside one another on this machine."""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from demos.bench import envoy_policy, gateway, listing, load, machine, measure, recipes, report, serving, upstream
from demos.bench.stats import Floor, Key, Sample, Summary, broken_floors, summarise

SETS: Mapping[str, tuple[recipes.Recipe, ...]] = {
    "limit": (recipes.DIRECT, recipes.NGINX, recipes.PYTHON_PROXY, recipes.ENVOY),
    "mcp": (
        recipes.DIRECT,
        recipes.NGINX,
        recipes.PYTHON_PROXY,
        envoy_policy.ENVOY_POLICY,
        gateway.GATEWAY_BARE,
        gateway.GATEWAY_FULL,
    ),
    "full": (recipes.NGINX, recipes.PYTHON_PROXY, envoy_policy.ENVOY_POLICY, gateway.GATEWAY_FULL),
    "list": (),  # `listing`: no load, no servers of their own
}
FULL_FLOOR = 0.15  # nginx CPU / gateway-full CPU: what was asked for
PROXY_PER_NGINX = 0.75  # nginx CPU / python-proxy CPU, as measured: translates the floor where nginx is missing


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; return 0, 1 when something failed or a floor broke, 2 for a wrong command line."""
    asked = _parser().parse_args(argv)
    if asked.set == "list":
        listed = listing.measure(say)
        listing.measure(say, page_items=1000)
        return 1 if asked.check and listed.best_ms > listing.MAX_MS else 0
    chosen = [recipe for recipe in SETS[asked.set] if not asked.only or recipe.name in asked.only]
    plan = measure.Plan(
        rounds=asked.rounds,
        seconds=asked.seconds,
        connections=asked.connections,
        by=asked.load or load.generator(),
    )
    with tempfile.TemporaryDirectory(prefix="agw-bench-") as place:
        return _run(chosen, plan, asked, Path(place))


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def floors(measured: Mapping[Key, Summary], least: float) -> list[Floor]:
    """Return what `--check` asks: full policy beside nginx, or beside the Python proxy where nginx is missing."""
    names = {name for name, _ in measured}
    if recipes.NGINX.name in names:
        return [Floor(gateway.FULL.name, recipes.NGINX.name, least)]
    return [Floor(gateway.FULL.name, recipes.PYTHON_PROXY.name, least / PROXY_PER_NGINX)]


def _run(
    chosen: Sequence[recipes.Recipe],
    plan: measure.Plan,
    asked: argparse.Namespace,
    scratch: Path,
) -> int:
    cores = machine.cores()
    stub = upstream.start(scratch, core=cores.load, variant=asked.stub)
    say(f"stub in {stub.variant}, load by {plan.by}, cores: {cores.sut} for the system, {cores.load} for load and stub")
    if not cores.are_apart:
        say("system and load share a core here: believe CPU times, not rates")
    began = datetime.now(UTC)
    try:
        with measure.running(chosen, recipes.Ground(stub, scratch, cores.sut), say) as (systems, absences):
            samples = measure.measure(systems, plan, cores, scratch, say)
            programs = [f"{system.name}: {system.version}" for system in systems]
    finally:
        serving.stop(stub.server)
    summaries = {key: summarise(taken) for key, taken in samples.items()}
    names = [system.name for system in systems]
    reference = next((name for name in (recipes.NGINX.name, recipes.PYTHON_PROXY.name) if name in names), "direct")
    report.show(say, summaries, reference, absences)
    if asked.json:
        about = {
            "set": asked.set,
            "began": began.isoformat(timespec="seconds"),
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "load": plan.by,
            "stub": stub.variant,
            **machine.describe(programs),
        }
        report.write_lines(asked.json, about, samples, summaries, absences)
        say(f"figures appended to {asked.json}")
    return _verdict(summaries, absences, samples, asked)


def _verdict(
    summaries: Mapping[Key, Summary],
    absences: Sequence[measure.Absence],
    samples: Mapping[Key, Sequence[Sample]],
    asked: argparse.Namespace,
) -> int:
    broken = broken_floors(summaries, floors(summaries, asked.floor)) if asked.check else []
    for sentence in broken:
        say(f"floor broken: {sentence}")
    if asked.check and not broken:
        for floor in floors(summaries, asked.floor):
            say(f"floor holds: {floor.reference} CPU / {floor.name} CPU is at least {floor.least:.3f}")
    has_failed = any(absence.kind == "failed" for absence in absences) or not samples
    return 1 if broken or has_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demos/bench/run.py", description=__doc__)
    parser.add_argument("set", nargs="?", default="mcp", choices=SETS, help="which systems (default: %(default)s)")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this system of the set; may be repeated")
    parser.add_argument("--rounds", type=_positive, default=3, help="samples of each kind (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a sample (default: %(default)s)")
    parser.add_argument(
        "--connections", type=_counts, default=(1, 16, 64), help="numbers of connections, as in 1,16,64 (the default)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the figures to FILE as JSON lines")
    parser.add_argument("--stub", choices=("c", "python"), help="the stub to use (default: compiled when possible)")
    parser.add_argument("--load", choices=("wrk", "bundled"), help="the generator to use (default: wrk when there)")
    parser.add_argument("--check", action="store_true", help="fail when a floor is broken (CPU ratios only)")
    parser.add_argument(
        "--floor", type=float, default=FULL_FLOOR, help="least nginx CPU / gateway-full CPU (default: %(default)s)"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))
