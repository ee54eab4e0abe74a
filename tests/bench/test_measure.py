"""The harness end to end: systems are checked before they are measured, absent ones named, none left running."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from demos.bench import command, gateway, machine, measure, recipes, serving, upstream
from demos.bench.stats import Floor, Sample, summarise


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[recipes.Ground]:
    stub = upstream.start(tmp_path, core=None, variant="python")
    yield recipes.Ground(stub, tmp_path, None)
    serving.stop(stub.server)


def _recipe(name: str, system: recipes.System | Exception) -> recipes.Recipe:
    def start(_: recipes.Ground) -> recipes.System:
        if isinstance(system, Exception):
            raise system
        return system

    return recipes.Recipe(name, name, start)


def test_a_system_that_is_not_installed_is_skipped_by_name(ground: recipes.Ground) -> None:
    said: list[str] = []

    with measure.running([_recipe("nginx", serving.Missing("nginx is not installed"))], ground, said.append) as found:
        assert found == ([], [measure.Absence("nginx", "nginx is not installed", "skipped")])

    assert said == ["skipped nginx: nginx is not installed"]


def test_a_program_that_dies_at_start_is_reported_with_its_last_words(ground: recipes.Ground) -> None:
    def start(ground: recipes.Ground) -> recipes.System:
        server = ground.start("broken", [sys.executable, "-c", "raise SystemExit('no such option')"])
        serving.wait_until(server, lambda: False, within_s=10)
        raise AssertionError

    with measure.running([recipes.Recipe("broken", "", start)], ground, print) as (systems, absences):
        assert systems == []
        assert [absence.kind for absence in absences] == ["failed"]
        assert absences[0].why == "broken ended; its last words: no such option"


def test_a_program_that_is_not_there_is_reported(ground: recipes.Ground) -> None:
    with pytest.raises(serving.StartFailed, match="nothing did not start: No such file"):
        ground.start("nothing", [str(ground.scratch / "nothing")])


def test_a_system_that_lets_a_denied_call_through_is_not_measured(ground: recipes.Ground) -> None:
    target = recipes.call(ground.stub.url, "echo")
    server = ground.start("open-door", [sys.executable, "-c", "import sys; sys.stdin.read()"])
    careless = recipes.System("open-door", target, server, denied={"a call that policy denies": target})

    with measure.running([_recipe("open-door", careless)], ground, print) as (systems, absences):
        assert systems == []
        assert "does not refuse a call that policy denies: 200" in absences[0].why
        assert server.process.poll() is not None


def test_a_system_that_does_not_answer_well_is_not_measured(ground: recipes.Ground) -> None:
    wrong = recipes.System("wrong", recipes.call(ground.stub.url.replace("/mcp", "/mcp-sse") + "?", "echo"))
    recipes.check(wrong)
    nowhere = recipes.System("nowhere", recipes.call(f"http://127.0.0.1:{serving.free_port()}/mcp", "echo"))

    with measure.running([_recipe("nowhere", nowhere)], ground, print) as (systems, absences):
        assert systems == []
        assert [absence.name for absence in absences] == ["nowhere"]


def test_an_error_of_json_rpc_counts_as_refused_and_so_does_a_status(ground: recipes.Ground) -> None:
    good = recipes.call(ground.stub.url, "echo")
    unknown = recipes.load.Target(good.url, good.headers, good.body.replace("tools/call", "tools/none"))

    recipes.check(recipes.System("refusing", good, denied={"an unknown method": unknown}))


@pytest.mark.parametrize("recipe", [recipes.NGINX, recipes.PYTHON_PROXY], ids=lambda recipe: recipe.name)
def test_a_proxy_answers_from_the_stub_and_ends_with_everything_below_it(
    ground: recipes.Ground, recipe: recipes.Recipe
) -> None:
    try:
        system = recipe.start(ground)
    except serving.Missing as missing:
        pytest.skip(f"{recipe.name}: {missing}")
    assert system.server is not None
    below = machine.tree(system.server.pid)
    try:
        recipes.check(system)
        recipes.check(system)
    finally:
        serving.stop(system.server)

    assert below
    assert not any(process.is_running() for process in below)


def test_a_process_that_ignores_the_request_to_end_is_killed(ground: recipes.Ground, tmp_path: Path) -> None:
    program = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)\n"
    server = ground.start("deaf", [sys.executable, "-c", program + "while True: signal.pause()"])
    serving.wait_until(server, lambda: "deaf" in server.last_words(), within_s=10)

    serving.stop(server)

    assert not psutil.pid_exists(server.pid)


def test_a_run_prints_a_table_and_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.jsonl"
    argv = ["limit", "--only", "direct", "--only", "python-proxy", "--rounds", "1", "--seconds", "0.2"]

    code = command.main([*argv, "--connections", "2", "--load", "bundled", "--stub", "python", "--json", str(figures)])

    lines = [json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()]
    assert code == 0
    assert [line["type"] for line in lines] == ["run", "system", "system"]
    assert lines[0]["load"] == "bundled"
    by_name = {line["name"]: line for line in lines[1:]}
    assert by_name["direct"]["cpu_us"] is None
    assert 1 < by_name["python-proxy"]["cpu_us"] < 5000
    assert by_name["python-proxy"]["requests"] > 50
    assert by_name["python-proxy"]["failures"] == 0
    table = capsys.readouterr().out
    assert "python-proxy CPU / its" in table
    assert "1.000" in table


def test_a_check_that_could_not_be_made_fails(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["limit", "--only", "direct", "--rounds", "1", "--seconds", "0.1", "--connections", "2"]

    code = command.main([*argv, "--load", "bundled", "--stub", "python", "--check"])

    assert code == 1
    assert "floor broken: gateway-full was not measured beside python-proxy" in capsys.readouterr().out


def test_the_floor_is_translated_where_nginx_is_missing() -> None:
    one = summarise([Sample(requests=1, rps=1, p50_ms=1, p99_ms=1, failures=0, foreign_load=0, cpu_us=1.0)])

    assert command.floors({("nginx", 16): one}, 0.12) == [Floor("gateway-full", "nginx", 0.12)]
    (other,) = command.floors({("direct", 16): one}, 0.12)
    assert (other.name, other.reference, other.least) == ("gateway-full", "python-proxy", pytest.approx(0.16))


@pytest.mark.parametrize("kind", [gateway.BARE, gateway.FULL], ids=lambda kind: kind.name)
def test_the_gateway_is_configured_with_keys_it_knows(kind: gateway.Kind) -> None:
    root = pytest.importorskip("agent_gateway.config.root", reason="the configuration is not part of this tree yet")
    content = gateway.configuration(kind, port=18080, admin_port=18081, upstream_url="http://127.0.0.1:9/mcp")

    config = root.Config.model_validate_json(json.dumps(content))

    assert config.agents["bench"].tenant == "bench"
    assert len(config.budgets) == (4 if kind.is_metered else 0)


def test_the_gateway_s_secret_is_not_in_its_configuration() -> None:
    content = gateway.configuration(gateway.FULL, port=1, admin_port=2, upstream_url="http://127.0.0.1:9/mcp")

    assert "env:AGW_BENCH_SECRET" in json.dumps(content)
    assert gateway.environment("s3cret")["AGW_BENCH_SECRET"] == "s3cret"
