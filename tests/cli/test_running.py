"""Commands against a gateway that really runs, as people and programs use them."""

import json
import selectors
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Run
from support.mcp_servers import TOOLS
from support.running import RunningGateway, paths, running_gateway, write_world

Command = Callable[..., Run]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    with running_gateway(write_world(tmp_path_factory.mktemp("served"))) as running:
        yield running


@pytest.fixture
def run(served: RunningGateway, capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*arguments: str | Path) -> Run:
        return Run(capsys, "--config", served.config, *arguments)

    return command


def denied_call(run: Command) -> str:
    """Make a call that a policy forbids; return its id."""
    answer = run("call", "sdk__echo", "--as", "planner", "--arg", "text=damn it", "--json")
    assert answer.code == 1
    error: Any = answer.data["error"]
    return str(error["data"]["agent-gateway/refusal"]["call"])


def test_up_says_in_one_line_of_json_that_it_serves(served: RunningGateway) -> None:
    assert served.ready["ready"] is True
    assert served.ready["tools"] == TOOLS
    assert served.ready["upstreams"] == 1
    assert served.ready["degraded"] == {}


# --- ls ----------------------------------------------------------------------------------------


def test_ls_shows_upstreams_tools_and_who_may_call_them(run: Command) -> None:
    listed = run("ls", "--json")
    assert listed.code == 0
    data: Any = listed.data
    assert data["running"] is True
    assert [(one["name"], one["state"], one["tools"]) for one in data["upstreams"]] == [("sdk", "up", TOOLS)]
    callers = {tool["name"]: tool["callers"] for tool in data["tools"]}
    assert callers["sdk__echo"] == {"boss": "depends", "planner": "depends"}
    assert callers["sdk__die"] == {"boss": "permit"}


def test_ls_as_an_agent_shows_what_it_sees_and_no_more(run: Command) -> None:
    data: Any = run("ls", "--agent", "planner", "--json").data
    seen = {tool["name"]: tool["access"] for tool in data["tools"]}
    assert seen["sdk__echo"] == "depends"
    assert seen["sdk__nap"] == "permit"
    assert "sdk__die" not in seen
    nobody: Any = run("ls", "--agent", "nobody", "--json").data
    assert nobody["tools"] == []


def test_ls_is_readable(run: Command) -> None:
    out = run("ls").out
    assert out.startswith("sdk  (stdio, up, ")
    assert "sdk__die" in out
    assert "risk 9, 10 micros" in out


def test_ls_of_an_unknown_agent_says_what_was_probably_meant(run: Command) -> None:
    listed = run("ls", "--agent", "planer")
    assert (listed.code, listed.out) == (2, "")
    assert "did you mean `planner`?" in listed.err


# --- call --------------------------------------------------------------------------------------


def test_call_prints_what_the_tool_said(run: Command) -> None:
    answer = run("call", "sdk__echo", "--as", "planner", "--arg", "text=hello world")
    assert (answer.code, answer.out) == (0, "hello world\n")


def test_call_takes_arguments_as_json_and_keeps_numbers_numbers(run: Command) -> None:
    answer = run("call", "sdk__nap", "--as", "planner", "--args", '{"text": "x"}', "--arg", "seconds=0")
    assert (answer.code, answer.out) == (0, "x\n")
    quoted = run("call", "sdk__echo", "--as", "planner", "--arg", 'text="5"')
    assert (quoted.code, quoted.out) == (0, "5\n")


def test_a_denied_call_names_reason_hint_and_the_way_to_learn_more(run: Command) -> None:
    answer = run("call", "sdk__echo", "--as", "planner", "--arg", "text=damn")
    assert answer.code == 1
    assert "refused: `sdk__echo` is denied: the text must be polite [forbidden]" in answer.out
    assert "hint: leave the bad word out" in answer.out
    assert "agent-gateway explain --call " in answer.out


def test_a_call_beyond_a_budget_says_so(run: Command) -> None:
    codes = [run("call", "sdk__steps", "--as", "boss", "--arg", "count=1").code for _ in range(2)]
    assert codes == [0, 1]
    told = run("call", "sdk__steps", "--as", "boss", "--arg", "count=1")
    assert "[over_budget]" in told.out


def test_a_call_of_a_misspelt_tool_suggests_one_that_the_agent_sees(run: Command) -> None:
    assert "did you mean `sdk__echo`?" in run("call", "sdk__ecko", "--as", "planner").out
    hidden = run("call", "sdk__die", "--as", "planner")
    assert "no tool `sdk__die` here" in hidden.out


def test_a_call_through_a_toolset_sees_that_toolset_only(run: Command) -> None:
    through = ("--as", "planner", "--toolset", "reading")
    assert run("call", "sdk__echo", *through, "--arg", "text=x").code == 0
    assert run("call", "sdk__nap", *through, "--args", '{"text": "x", "seconds": 0}').code == 1
    native = ("--as", "planner", "--toolset", "servers/sdk")
    assert run("call", "echo", *native, "--arg", "text=x").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--args", "{"), "`--args` is not JSON"),
        (("--args", "[1]"), "must be a JSON object"),
        (("--arg", "text"), "is not `name=value`"),
        (("--arg", "a=1", "--arg", "a=2"), "given twice"),
        (("--toolset", "readin"), "did you mean `reading`?"),
        (("--toolset", "admin"), "the admin API serves no tools"),
    ],
)
def test_a_call_that_was_written_wrongly_is_not_made(run: Command, arguments: tuple[str, ...], message: str) -> None:
    answer = run("call", "sdk__echo", "--as", "planner", *arguments)
    assert answer.code == 2
    assert message in answer.err


# --- token -------------------------------------------------------------------------------------


def test_a_token_for_an_agent_opens_its_endpoint(run: Command, served: RunningGateway) -> None:
    data: Any = run("token", "planner", "--resource", "reading", "--ttl", "60", "--json").data
    assert data["resource"] == f"{served.ready['endpoint']}/reading"
    assert data["expires_in"] == 60
    assert data["access_token"].count(".") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name an agent, or --operator"),
        (("planner", "--operator"), 2, "name an agent, or --operator"),
        (("planer",), 2, "did you mean `planner`?"),
        (("planner", "--resource", "https://elsewhere.example/mcp"), 2, "is no endpoint of this gateway"),
        (("planner", "--ttl", "86400"), 2, "a token lives from 1 to 3600 seconds"),
        (("--operator", "--ttl", "3600"), 2, "at most 900 seconds"),
    ],
)
def test_a_token_that_must_not_be_is_not_made(
    run: Command, arguments: tuple[str, ...], code: int, message: str
) -> None:
    refused = run("token", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert message in refused.err


# --- explain, who-can --------------------------------------------------------------------------


@pytest.mark.requirement("cli.explain")
def test_explain_says_what_the_policies_make_of_a_call_and_what_would_change_it(run: Command) -> None:
    data: Any = run("explain", "planner", "sdk__echo", "--json").data
    assert data["effect"] == "depends"
    denied: Any = run("explain", "planner", "sdk__echo", "--arg", "text=damn", "--json").data
    assert (denied["effect"], denied["code"]) == ("forbid", "forbidden")
    assert [policy["id"] for policy in denied["policies"] if policy["condition"] == "holds"] == [
        "research-reads",
        "no-swearing",
    ]
    out = run("explain", "nobody", "sdk__echo").out
    assert out.startswith("nobody may not call sdk__echo  (and does not see it)")


@pytest.mark.requirement("cli.explain")
def test_explain_of_a_denied_call_says_why_from_its_record(run: Command) -> None:
    call = denied_call(run)
    data: Any = run("explain", "--call", call, "--json").data
    assert (data["agent"], data["capability"], data["effect"]) == ("planner", "sdk__echo", "forbid")
    assert (data["code"], data["policies"], data["policies_changed"]) == ("forbidden", ["no-swearing"], False)
    out = run("explain", "--call", call).out
    assert "forbid: a policy decided so (no-swearing)" in out
    assert "by the policies as they are now:" in out


@pytest.mark.requirement("cli.explain")
def test_who_can_lists_every_agent(run: Command) -> None:
    data: Any = run("who-can", "sdk__die", "--json").data
    assert {one["agent"]: one["access"] for one in data["items"]} == {
        "boss": "permit",
        "nobody": "forbid",
        "planner": "forbid",
    }
    unknown = run("who-can", "sdk__nothing")
    assert unknown.code == 1
    assert "no tool is called `sdk__nothing`" in unknown.err


def test_explain_needs_something_to_explain(run: Command) -> None:
    assert run("explain").code == 2
    assert run("explain", "planner").code == 2
    assert "no call `ffff` is recorded here" in run("explain", "--call", "ffff").err


# --- budget ------------------------------------------------------------------------------------


def test_budget_shows_limits_and_names_budgets_nobody_used(run: Command) -> None:
    data: Any = run("budget", "--json").data
    purse = next(row for row in data["budgets"] if row["budget"] == "purse")
    assert (purse["limit"], purse["unit"], purse["is_current"]) == (500, "calls", True)
    assert purse["left"] == 500 - purse["spent"] - purse["held"]
    assert {row["budget"] for row in data["budgets"]} == {"purse", "steps"}
    assert run("budget", "steps").out.splitlines()[1].startswith("steps")


# --- audit -------------------------------------------------------------------------------------


def test_audit_tail_shows_the_last_records(run: Command) -> None:
    call = denied_call(run)
    lines = run("audit", "tail", "--denied", "-n", "1").out.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(f"acme/planner sdk__echo forbid [forbidden] {call}")
    record = json.loads(run("audit", "tail", "--denied", "-n", "1", "--json").out)
    assert record["record"]["call"] == call


def test_audit_show_proves_and_verifies_one_call(run: Command, tmp_path: Path) -> None:
    call = denied_call(run)
    shown: Any = run("audit", "show", call, "--json").data
    assert [one["record"]["kind"] for one in shown["records"]] == ["decision", "outcome"]
    receipt = tmp_path / "receipt.json"
    wait_until_signed(run, call, receipt)
    verified = run("audit", "verify", receipt)
    assert verified.code == 0
    receipt.write_text(receipt.read_text().replace("planner", "plonker"))
    tampered = run("audit", "verify", receipt)
    assert tampered.code == 1
    assert "the record is not in the signed log" in tampered.out


def wait_until_signed(run: Command, call: str, receipt: Path) -> None:
    """Ask for the receipt until a checkpoint covers both records: signing takes a fraction of a second."""
    for _ in range(2000):
        if run("audit", "prove", call, "-o", receipt).code == 0 and len(json.loads(receipt.read_text())["parts"]) == 2:
            return
    pytest.fail("no checkpoint came")


def test_audit_verify_holds_while_the_gateway_runs(run: Command) -> None:
    denied_call(run)
    verified: Any = run("audit", "verify", "--json").data
    assert verified["ok"] is True
    assert verified["records"] > 0


def test_audit_export_can_be_verified_and_ocsf_cannot_be_mistaken_for_it(run: Command, tmp_path: Path) -> None:
    denied_call(run)
    bundle = tmp_path / "log.jsonl"
    assert run("audit", "export", "-o", bundle).code == 0
    assert run("audit", "verify", bundle).code == 0
    events = run("audit", "export", "--format", "ocsf").out.splitlines()
    assert {json.loads(line)["class_uid"] for line in events} == {6003}
    cloud = run("audit", "export", "--format", "cloudevents", "--agent", "planner").out.splitlines()
    assert {json.loads(line)["specversion"] for line in cloud} == {"1.0"}
    assert run("audit", "export", "--agent", "planner").code == 2
    assert run("audit", "export", "--format", "csv").code == 2


def test_a_checkpoint_kept_elsewhere_is_held_to_the_log(run: Command, tmp_path: Path) -> None:
    wait_until_signed(run, denied_call(run), tmp_path / "receipt.json")
    kept = tmp_path / "checkpoint"
    data: Any = run("audit", "checkpoint", "-o", kept, "--json").data
    assert run("audit", "verify", "--checkpoint", kept, "--vkey", data["vkey"]).code == 0
    grown = kept.read_text().splitlines()
    grown[1] = str(int(grown[1]) + 1000)
    kept.write_text("\n".join(grown) + "\n")
    assert run("audit", "verify", "--checkpoint", kept).code == 1


def test_a_log_is_proved_to_have_only_grown_since_a_checkpoint_that_was_kept(run: Command, tmp_path: Path) -> None:
    kept, growth = tmp_path / "kept", tmp_path / "growth.json"
    wait_until_signed(run, denied_call(run), tmp_path / "before.json")
    assert run("audit", "checkpoint", "-o", kept).code == 0
    wait_until_signed(run, denied_call(run), tmp_path / "after.json")
    written: Any = run("audit", "prove", "--since", kept, "-o", growth, "--json").data
    assert written == {"ok": True, "file": str(growth)}
    proof: Any = run("audit", "prove", "--since", kept).data
    assert proof["from"] == kept.read_text()
    assert int(proof["to"].split("\n")[1]) > int(proof["from"].split("\n")[1])
    assert run("audit", "verify", growth).code == 0
    touched: dict[str, Any] = {**json.loads(growth.read_text()), "proof": []}
    growth.write_text(json.dumps(touched))
    told = run("audit", "verify", growth)
    assert (told.code, "consistency" in told.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "give a call, or `--since` with a checkpoint"),
        (("f" * 32, "--since", "kept"), 2, "give a call, or `--since` with a checkpoint"),
        (("--since", "kept"), 1, "this checkpoint is of no log here"),
        (("--since", "missing"), 1, "missing: No such file"),
    ],
)
def test_no_growth_is_proved_from_what_is_no_checkpoint(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kept").write_text("elsewhere.example/w0\n12\nAAAA\n")
    told = run("audit", "prove", *arguments)
    assert (told.code, told.out) == (code, "")
    assert said in " ".join(told.err.split())


def test_following_the_log_shows_a_call_as_it_happens(run: Command, served: RunningGateway) -> None:
    command = [sys.executable, "-m", "agent_gateway.cli.main", "--config", str(served.config)]
    flags = ["audit", "tail", "-f", "-n", "0", "--agent", "planner", "--json"]
    denied_call(run)
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True, env=paths()) as process:
        try:
            assert process.stdout is not None
            first = first_line(run, process)
            assert json.loads(first)["record"]["principal"]["id"] == "planner"
        finally:
            process.kill()


def first_line(run: Command, process: "subprocess.Popen[str]") -> str:
    """Make calls until the follower, which may still be starting, has shown one of them."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        for _ in range(300):
            denied_call(run)
            if selector.select(0.1):
                return process.stdout.readline()
    pytest.fail("the follower showed nothing")


# --- doctor, check -----------------------------------------------------------------------------


def test_doctor_finds_a_healthy_gateway(run: Command) -> None:
    report: Any = run("doctor", "--json").data
    assert [one for one in report["findings"] if one["state"] == "fail"] == []
    about = {one["about"]: one["state"] for one in report["findings"] if one["about"] != "configuration"}
    assert about["gateway"] == "ok"
    assert about["upstream sdk"] == "ok"
    assert about["audit"] == "ok"
    assert about["data directory"] == "ok"


def test_check_live_holds_the_policies_to_the_tools_that_are_there(run: Command, served: RunningGateway) -> None:
    assert run("check", "--live").code == 0
    copy = served.folder / "live.yaml"
    copy.write_text(served.config.read_text().replace("main.cedar", "odd.cedar"))
    (served.folder / "odd.cedar").write_text(
        'permit (principal, action == Action::"call", resource == Tool::"sdk__nothing");\n'
    )
    try:
        assert run("check", copy).code == 0
        live = run("check", copy, "--live", "--json")
        errors: Any = live.data["errors"]
        assert live.code == 1
        assert "sdk__nothing" in errors[0]["message"]
        assert (errors[0]["line"], Path(errors[0]["file"]).name) == (1, "odd.cedar")
    finally:
        copy.unlink()
