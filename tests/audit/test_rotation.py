"""Another key for the log: whoever trusts one of the keys can follow it past the change, and none outlives its turn."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent_gateway.audit import records, rotation
from agent_gateway.audit.checkpoint import Signer
from agent_gateway.audit.export import export
from agent_gateway.audit.log import AuditLog, encoded
from agent_gateway.audit.logfile import LogFile
from agent_gateway.audit.reader import checkpoints, log_paths
from agent_gateway.audit.reader import records as entries
from agent_gateway.audit.verify import verify, verify_directory
from gateway_policies.refusal import Unavailable
from support.audit_log import EAGER, START, clock, decision, outcome

NAME = "gateway.acme.example"
STRANGER = Signer(NAME, Ed25519PrivateKey.from_private_bytes(bytes(32)))


class World:
    """A data directory without a gateway: keys, logs, and calls that are written to them."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.logs = folder / "keys", folder / "audit"
        self._calls = 0

    async def write(self, slot: str = "0", count: int = 3, signer: Signer | None = None) -> None:
        """Write calls as a worker does, with the key of today or another."""
        signer = (signer or rotation.signer(self.keys, NAME)).for_log(slot)
        async with AuditLog(self.logs / f"{slot}.db", signer, clock, EAGER) as log:
            for _ in range(count):
                self._calls += 1
                log.append(decision(f"call-{self._calls}"))
                await log.durable(log.append(outcome(f"call-{self._calls}")))

    def rotate(self) -> tuple[str, str]:
        """Change the key; return (old, new)."""
        before = rotation.vkeys(self.keys, NAME)[0]
        return before, rotation.rotate(self.keys, NAME, log_paths(self.logs), clock, "ana").verifier.vkey

    def found(self, *vkeys: str) -> list[str]:
        """Return the codes of what a verifier finds who trusts these keys."""
        return sorted({finding.code for finding in verify_directory(self.logs, vkeys).findings})

    def changes(self) -> list[Mapping[str, object]]:
        return [entry.record for entry in entries(self.logs) if entry.record["kind"] == "key"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.requirement("audit.key-rotation")
async def test_either_key_alone_verifies_what_was_signed_before_and_after(world: World) -> None:
    await world.write("0")
    await world.write("1")
    old, new = world.rotate()
    await world.write("0")
    await world.write("1")
    assert world.found(old) == world.found(new) == world.found(old, new) == []
    assert world.found(STRANGER.verifier.vkey) == ["checkpoint"]
    assert world.changes() == [records.key_change(START, old, new, "ana")] * 2
    assert rotation.vkeys(world.keys, NAME) == [new, old]


@pytest.mark.requirement("audit.key-rotation")
async def test_every_checkpoint_counts_for_every_holder_of_one_key_through_many_changes(world: World) -> None:
    await world.write()
    first, second = world.rotate()
    await world.write()
    _, third = world.rotate()
    await world.write()
    total = len(checkpoints(world.logs / "0.db"))
    for one in (first, second, third):
        report = verify_directory(world.logs, [one])
        assert (report.findings, report.checkpoints, report.unanchored) == ([], total, 0)
    assert rotation.vkeys(world.keys, NAME) == [third, second, first]


async def test_a_log_that_began_after_the_change_is_known_by_the_old_key_too(world: World) -> None:
    await world.write("0")
    old, new = world.rotate()
    await world.write("7")
    assert world.found(old) == world.found(new) == []


async def test_a_bundle_carries_the_change(world: World, tmp_path: Path) -> None:
    await world.write()
    old, new = world.rotate()
    await world.write()
    bundle = tmp_path / "bundle.jsonl"
    bundle.write_bytes(b"".join(export(world.logs, "bundle")))
    assert [verify(bundle, [one]).findings for one in (old, new)] == [[], []]


async def test_a_checkpoint_that_was_kept_from_before_the_change_is_held_to_the_log(world: World) -> None:
    await world.write()
    [*_, (_, kept)] = checkpoints(world.logs / "0.db")
    _, new = world.rotate()
    await world.write()
    assert verify_directory(world.logs, [new], [kept]).findings == []
    touched = kept.replace("\n6\n", "\n4\n")
    assert [one.code for one in verify_directory(world.logs, [new], [touched]).findings] == ["checkpoint"]


@pytest.mark.requirement("audit.key-rotation")
async def test_the_old_key_signs_nothing_after_the_change(world: World) -> None:
    await world.write()
    stolen = rotation.signer(world.keys, NAME)
    old, new = world.rotate()
    await world.write(signer=stolen)
    assert world.found(old) == world.found(new) == world.found(old, new) == ["checkpoint"]


@pytest.mark.requirement("audit.key-rotation")
@pytest.mark.parametrize("of", [NAME, "another.example"])
async def test_a_change_that_no_known_key_signed_is_not_believed(world: World, of: str) -> None:
    await world.write()
    old = rotation.signer(world.keys, NAME)
    forged = Signer(of, STRANGER.key)
    with closing(sqlite3.connect(world.logs / "0.db")) as connection:
        connection.execute("DELETE FROM checkpoint WHERE size > 4")
        connection.commit()
    with closing(LogFile.open(world.logs / "0.db", old.for_log("0"))) as file:
        change = records.key_change(START, old.verifier.vkey, forged.verifier.vkey, "eve")
        file.write([encoded(change)], 0)
        file._signer = forged.for_log("0")  # pyright: ignore[reportPrivateUsage]
        file.checkpoint(0)
    assert "checkpoint" in world.found(old.verifier.vkey)


async def test_one_gateway_does_not_say_which_key_signs_for_another(world: World) -> None:
    """Whoever trusts two gateways' keys must not hear of the one's from the other."""
    await world.write("1", signer=STRANGER)
    other = Signer("another.example", Ed25519PrivateKey.generate())
    forged = Signer(NAME, Ed25519PrivateKey.generate())
    await world.write("0", signer=other)
    with closing(LogFile.open(world.logs / "0.db", other.for_log("0"))) as file:
        file.write([encoded(records.key_change(START, STRANGER.verifier.vkey, forged.verifier.vkey, "eve"))], 0)
        file.checkpoint(0)
    await world.write("2", signer=forged)
    assert world.found(other.verifier.vkey, STRANGER.verifier.vkey) == ["checkpoint"]


async def test_a_change_to_the_key_of_another_name_teaches_nothing(world: World) -> None:
    await world.write()
    old, other = rotation.signer(world.keys, NAME), Signer("another.example", STRANGER.key)
    with closing(LogFile.open(world.logs / "0.db", old.for_log("0"))) as file:
        file.write([encoded(records.key_change(START, old.verifier.vkey, other.verifier.vkey, "eve"))], 0)
        file.checkpoint(0)
    await world.write()
    assert world.found(old.verifier.vkey) == []
    assert world.found(other.verifier.vkey) == ["checkpoint"]


@pytest.mark.requirement("audit.key-rotation")
async def test_a_change_that_was_cut_off_is_begun_again_and_no_gateway_starts_meanwhile(world: World) -> None:
    await world.write("0")
    await world.write("1")
    healthy = (world.logs / "1.db").read_bytes()
    old = rotation.vkeys(world.keys, NAME)[0]
    (world.logs / "1.db").write_bytes(b"damaged")
    with pytest.raises(Unavailable, match="log `1` cannot be handed over"):
        world.rotate()
    with pytest.raises(Unavailable, match="was cut off") as caught:
        rotation.signer(world.keys, NAME)
    assert "rotate-key" in caught.value.hint
    (world.logs / "1.db").write_bytes(healthy)
    assert world.rotate()[0] == old
    assert len(world.changes()) == 2, "the log that had handed over did not do so twice"
    await world.write("0")
    await world.write("1")
    assert world.found(old) == []


def test_what_is_no_list_of_keys_is_refused(world: World) -> None:
    rotation.signer(world.keys, NAME)
    (world.keys / "audit.retired").write_text("not a key\n")
    with pytest.raises(Unavailable, match=r"audit\.retired"):
        rotation.vkeys(world.keys, NAME)
