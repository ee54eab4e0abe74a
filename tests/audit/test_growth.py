"""Proofs that a log has only grown: anyone with two signed heads and the public key can check them."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from agent_gateway.audit.prove import prove_growth
from agent_gateway.audit.reader import checkpoints
from agent_gateway.audit.verify import verify, verify_growth
from agent_gateway.audit.verify.__main__ import main
from gateway_policies.refusal import NotFound, Unavailable
from support.audit_log import VKEY, write_calls


def heads(directory: Path) -> list[str]:
    return [note for _, note in checkpoints(directory / "w0.db")]


def proved(directory: Path, kept: str) -> dict[str, Any]:
    """The proof as its holder gets it: through JSON."""
    return json.loads(json.dumps(prove_growth(directory, kept)))


@pytest.mark.requirement("audit.consistency")
async def test_every_head_that_was_ever_signed_is_proved_to_be_a_beginning_of_the_log(tmp_path: Path) -> None:
    await write_calls(tmp_path, 17)
    for note in heads(tmp_path):
        proof = proved(tmp_path, note)
        assert proof["to"] == heads(tmp_path)[-1]
        assert verify_growth(proof, [VKEY]).findings == []


@pytest.mark.requirement("audit.consistency")
async def test_a_proof_that_was_touched_proves_nothing(tmp_path: Path) -> None:
    await write_calls(tmp_path, 13)
    notes = heads(tmp_path)
    proof = proved(tmp_path, notes[4])

    def found(**members: object) -> list[str]:
        touched = {**copy.deepcopy(proof), **members}
        return [finding.code for finding in verify_growth(touched, [VKEY]).findings]

    assert found() == []
    assert found(**{"from": notes[5]}) == ["consistency"]
    assert found(to=notes[8]) == ["consistency"]
    assert found(**{"from": notes[-1], "to": notes[4]}) == ["consistency"]
    assert found(proof=proof["proof"][:-1]) == ["consistency"]
    assert found(proof=[*proof["proof"], proof["proof"][0]]) == ["consistency"]
    assert found(proof=proof["proof"][::-1]) == ["consistency"]
    assert found(proof=[]) == ["consistency"]
    assert found(log="gateway.acme.example/w1") == ["consistency"]
    assert found(to=notes[-1].replace("\n", "\n\n", 1)) == ["checkpoint"]
    assert found(proof=["AA"]) == ["checkpoint"]


async def test_a_rewritten_log_cannot_be_proved_from_a_head_that_was_kept(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, count in ((old, 5), (new, 12)):
        folder.mkdir()
        await write_calls(folder, count)
    kept = heads(old)[-1]
    assert verify_growth(proved(new, kept), [VKEY]).is_ok  # the same beginning
    forged = proved(new, heads(new)[3])
    forged["from"] = kept
    assert [finding.code for finding in verify_growth(forged, [VKEY]).findings] == ["consistency"]


async def test_a_log_that_is_not_there_or_is_shorter_is_not_proved(tmp_path: Path) -> None:
    long, short = tmp_path / "long", tmp_path / "short"
    for folder, count in ((long, 6), (short, 2)):
        folder.mkdir()
        await write_calls(folder, count)
    with pytest.raises(Unavailable, match="shorter"):
        prove_growth(short, heads(long)[-1])
    for note in ("", "gateway.acme.example/w9\n1\n", "gateway.acme.example/w0\nmany\n", "gateway/../w0\n1\n"):
        with pytest.raises(NotFound):
            prove_growth(short, note.replace("w0\n1", "w8\n1"))


async def test_the_verifier_reads_a_proof_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await write_calls(tmp_path, 4)
    file = tmp_path / "growth.json"
    file.write_text(json.dumps(prove_growth(tmp_path, heads(tmp_path)[0])))
    assert verify(file, [VKEY]).is_ok
    assert main([str(file), "--vkey", VKEY]) == 0
    assert "ok" in capsys.readouterr().out
