"""`agent-gateway audit rotate-key` on a real data directory."""

from pathlib import Path
from typing import Any

import pytest

from gateway_policies.refusal import Unavailable
from support.command_line import Run
from support.gateways import gateway, rpc
from support.scenes import FILES, world


@pytest.mark.requirement("audit.key-rotation")
async def test_the_key_changes_between_two_runs_and_the_log_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> Run:
        return Run(capsys, "--config", tmp_path / "gateway.yaml", *arguments)

    async with gateway(tmp_path, world([]), **FILES) as gate, gate.client(gate.token("planner")) as client:
        await rpc(client, "tools/list")
        refused = run("audit", "rotate-key")
        assert (refused.code, refused.out) == (1, "")
        assert "a gateway runs on this data" in refused.err
    (tmp_path / "kept").write_text(str(run("audit", "checkpoint", "--json").data["note"]))
    before = (tmp_path / "data/audit/0.db").read_bytes()
    told: Any = run("audit", "rotate-key", "--json").data
    (old,) = told["retired"]
    async with gateway(tmp_path, world([]), **FILES) as gate, gate.client(gate.token("planner")) as client:
        await rpc(client, "tools/list")
    for keys in ((), ("--vkey", old), ("--vkey", told["vkey"])):
        verified: Any = run("audit", "verify", *keys, "--checkpoint", str(tmp_path / "kept"), "--json").data
        assert (verified["ok"], verified["findings"]) == (True, [])
    assert f"another key, {told['vkey']}" in run("audit", "tail").out
    (tmp_path / "data/audit/0.db").write_bytes(before)  # as whoever kept the old key could write it once more
    forged: Any = run("audit", "verify", "--json").data
    assert {one["code"] for one in forged["findings"]} == {"checkpoint"}
    (tmp_path / "data/keys/audit.next.pem").write_text("")
    with pytest.raises(Unavailable, match="a change of the audit key was cut off"):
        async with gateway(tmp_path, world([]), **FILES):
            pass
