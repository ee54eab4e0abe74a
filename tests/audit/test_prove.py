"""Receipts: a stranger with the public key can check them, and nothing else passes."""

import copy
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agent_gateway.audit.prove import prove
from agent_gateway.audit.verify import verify, verify_receipt
from agent_gateway.audit.verify.__main__ import main
from gateway_policies.refusal import NotFound, Unavailable
from support.audit_log import EAGER, LAZY, VKEY, decision, open_log, outcome, write_calls


def received(directory: Path, call: str) -> dict[str, Any]:
    """The receipt as its holder gets it: through JSON."""
    return json.loads(json.dumps(prove(directory, call)))


async def test_a_receipt_holds_decision_and_outcome_and_proves_both(tmp_path: Path) -> None:
    await write_calls(tmp_path, 20)
    receipt = received(tmp_path, "w0-call-7")
    assert [json.loads(part["record"])["kind"] for part in receipt["parts"]] == ["decision", "outcome"]
    assert [part["index"] for part in receipt["parts"]] == [14, 15]
    report = verify_receipt(receipt, [VKEY])
    assert (report.findings, report.records) == ([], 2)


async def test_every_call_of_every_worker_can_be_proved(tmp_path: Path) -> None:
    for slot in ("w0", "w1"):
        await write_calls(tmp_path, 9, EAGER, slot)
    for slot in ("w0", "w1"):
        for number in range(9):
            receipt = received(tmp_path, f"{slot}-call-{number}")
            assert {part["log"] for part in receipt["parts"]} == {f"gateway.acme.example/{slot}"}
            assert verify_receipt(receipt, [VKEY]).is_ok


async def test_a_receipt_that_was_touched_proves_nothing(tmp_path: Path) -> None:
    await write_calls(tmp_path, 5, LAZY)
    receipt, other = received(tmp_path, "w0-call-1"), received(tmp_path, "w0-call-2")

    def changed(**parts: object) -> list[str]:
        touched = copy.deepcopy(receipt)
        touched["parts"][0].update(parts)
        return [finding.code for finding in verify_receipt(touched, [VKEY]).findings]

    part = receipt["parts"][0]
    assert changed() == []
    assert changed(record=part["record"].replace('"permit"', '"forbid"')) == ["proof"]
    assert changed(index=part["index"] + 1) == ["proof"]
    assert changed(index=-1) == ["proof"]
    assert changed(index="2") == ["proof"]
    assert changed(index=10_000) == ["proof"]
    assert changed(proof=part["proof"][:-1]) == ["proof"]
    assert changed(proof=[*part["proof"], part["proof"][0]]) == ["proof"]
    assert changed(proof=None) == ["proof"]
    assert changed(proof=["not base64!"]) == ["checkpoint"]
    assert changed(checkpoint=part["checkpoint"].replace("\n10\n", "\n11\n")) == ["checkpoint"]
    assert changed(checkpoint="") == ["checkpoint"]
    assert changed(log="gateway.acme.example/w1") == ["proof"]
    assert changed(**other["parts"][0]) == ["call"]
    assert not verify_receipt({}, [VKEY]).is_ok
    assert not verify_receipt({"call": "w0-call-1", "parts": []}, [VKEY]).is_ok


async def test_a_call_without_record_cannot_be_proved(tmp_path: Path) -> None:
    await write_calls(tmp_path, 1)
    with pytest.raises(NotFound, match="no call `c9` is recorded here"):
        prove(tmp_path, "c9")


async def test_a_call_is_proved_once_a_checkpoint_covers_it(tmp_path: Path) -> None:
    async with open_log(tmp_path, LAZY) as log:
        await log.durable(log.append(decision("c1")))
        with pytest.raises(Unavailable, match="no checkpoint covers this call yet") as refused:
            prove(tmp_path, "c1")
        assert refused.value.retry_after_s == 1.0
    async with open_log(tmp_path, LAZY) as log:
        await log.durable(log.append(outcome("c1")))
        assert len(received(tmp_path, "c1")["parts"]) == 1  # the outcome is not covered yet
    assert len(received(tmp_path, "c1")["parts"]) == 2


@pytest.mark.parametrize(
    "statement", ["UPDATE batch SET leaves = zeroblob(length(leaves))", "DELETE FROM batch WHERE first_index > 1"]
)
async def test_a_damaged_log_gives_no_receipt(tmp_path: Path, statement: str) -> None:
    async with open_log(tmp_path) as log:
        for number in range(4):
            await log.durable(log.append(decision(f"c{number}")))
    connection = sqlite3.connect(tmp_path / "w0.db")
    connection.execute("DELETE FROM checkpoint WHERE size < 4")
    connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(Unavailable, match="log `w0` does not lead to its own checkpoint"):
        prove(tmp_path, "c0")


async def test_a_receipt_in_a_file_is_verified_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await write_calls(tmp_path, 3)
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(prove(tmp_path, "w0-call-1")), encoding="utf-8")
    assert verify(path, [VKEY]).is_ok
    assert main([str(path), "--vkey", VKEY]) == 0
    path.write_text(path.read_text(encoding="utf-8").replace("permit", "forbid"), encoding="utf-8")
    assert main([str(path), "--vkey", VKEY]) == 1
    assert "the record is not in the signed log [proof]" in capsys.readouterr().out
