"""Keys in files: made once, shared, rotated, never replaced silently."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.tokens import Ticking

from agent_gateway.identity.keys import MAX_TOKEN_LIFE_S, SigningKeys
from agent_gateway.identity.ring import Ring, RingBroken


def test_the_first_start_makes_a_key_that_only_the_owner_can_read(tmp_path: Path) -> None:
    first = SigningKeys(tmp_path / "data", clock=Ticking())
    path = tmp_path / "data" / "signing-keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKeys(tmp_path / "data", clock=Ticking()).current()[0] == first.current()[0]


def test_the_published_document_holds_no_private_part(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path, clock=Ticking())
    [entry] = json.loads(json.dumps(keys.document()))["keys"]
    assert {"kty", "crv", "x", "y", "kid", "use", "alg"} == set(entry)
    assert (entry["alg"], entry["use"], entry["kid"]) == ("ES256", "sig", keys.current()[0])


def test_a_retired_key_is_published_until_its_last_token_has_expired(tmp_path: Path) -> None:
    clock = Ticking()
    keys = SigningKeys(tmp_path, clock=clock)
    old = keys.current()[0]
    new = keys.rotate()
    assert keys.current()[0] == new != old
    clock.now += MAX_TOKEN_LIFE_S
    assert keys.find(old, "ES256") is not None
    assert len(json.loads(json.dumps(keys.document()))["keys"]) == 2
    clock.now += 61
    assert keys.find(old, "ES256") is None
    assert len(json.loads(json.dumps(keys.document()))["keys"]) == 1
    keys.rotate()
    assert old not in (tmp_path / "signing-keys.json").read_text()


def test_our_keys_check_one_algorithm_only(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path, clock=Ticking())
    assert keys.find(keys.current()[0], "RS256") is None


def test_a_worker_finds_the_key_that_another_has_just_made(tmp_path: Path) -> None:
    clock = Ticking()
    one, other = SigningKeys(tmp_path, clock=clock), SigningKeys(tmp_path, clock=clock)
    other.current()
    new = one.rotate()
    assert other.find(new, "ES256") is not None
    clock.now += 1
    assert other.current()[0] == new


def test_rotation_waits_until_it_is_due(tmp_path: Path) -> None:
    clock = Ticking()
    keys = SigningKeys(tmp_path, clock=clock)
    first = keys.current()[0]
    assert keys.rotate_if_due(100) == first
    clock.now += 100
    assert keys.rotate_if_due(100) != first


RACE = """
import sys, time
from pathlib import Path
from agent_gateway.identity.keys import SigningKeys
keys = SigningKeys(Path(sys.argv[1]), clock=time.time)
for _ in range(5):
    keys.rotate()
print(keys.current()[0])
"""


def test_processes_that_rotate_at_once_lose_no_key(tmp_path: Path) -> None:
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    running = [subprocess.Popen(command, env=paths, stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.wait(30) for process in running] == [0, 0, 0]
    for process in running:
        assert process.stdout
        process.stdout.close()
    listed = json.loads((tmp_path / "signing-keys.json").read_text())["keys"]
    assert len(listed) == len({key["id"] for key in listed}) == 16
    assert [key["retired_at"] is None for key in listed] == [False] * 15 + [True]
    assert not list(tmp_path.glob(".*.new"))


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"keys":[]}', b"\xff", b'{"keys":[{"id":1}]}', b" " * 300_000])
def test_a_damaged_file_stops_the_start_and_is_left_alone(tmp_path: Path, damage: bytes) -> None:
    SigningKeys(tmp_path, clock=Ticking())
    path = tmp_path / "signing-keys.json"
    path.write_bytes(damage)
    with pytest.raises(RingBroken):
        SigningKeys(tmp_path, clock=Ticking())
    assert path.read_bytes() == damage


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    SigningKeys(tmp_path, clock=Ticking())
    (tmp_path / "signing-keys.json").chmod(0o640)
    with pytest.raises(RingBroken, match="0600"):
        SigningKeys(tmp_path, clock=Ticking())


def test_a_file_that_vanishes_is_noticed(tmp_path: Path) -> None:
    clock = Ticking()
    keys = SigningKeys(tmp_path, clock=clock)
    (tmp_path / "signing-keys.json").unlink()
    clock.now += 2
    with pytest.raises(RingBroken):
        keys.current()


def test_a_ring_never_shows_its_secrets(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "r.json", clock=Ticking(), generate=lambda: ("id", "hush"), keep_s=1)
    assert "hush" not in repr(ring.current())
