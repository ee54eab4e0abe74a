import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_gateway.stores.slots import acquire_slot, recoverable_slots, take_slot
from gateway_policies.refusal import Unavailable

HOLD_A_SLOT = """
import sys
from pathlib import Path
from agent_gateway.stores.slots import acquire_slot
slot = acquire_slot(Path(sys.argv[1]))
print(slot.name, flush=True)
sys.stdin.read()
"""


def test_each_slot_is_taken_once_lowest_first_and_again_when_it_is_free(tmp_path: Path) -> None:
    slots = [acquire_slot(tmp_path / "slots") for _ in range(3)]
    assert [slot.name for slot in slots] == ["0", "1", "2"]
    slots[1].close()
    slots[1].close()
    again = acquire_slot(tmp_path / "slots")
    assert again.name == "1"
    for slot in (slots[0], again, slots[2]):
        slot.close()


def test_beyond_the_last_slot_nobody_starts(tmp_path: Path) -> None:
    only = acquire_slot(tmp_path, max_slots=1)
    with pytest.raises(Unavailable, match="all 1 worker slots are taken"):
        acquire_slot(tmp_path, max_slots=1)
    only.close()


def test_the_slot_of_a_living_process_is_its_own_and_a_killed_ones_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_SLOT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        assert take_slot(tmp_path, "0") is None
        assert recoverable_slots(tmp_path, ["0"]) == []
        process.send_signal(signal.SIGKILL)
    (dead,) = recoverable_slots(tmp_path, ["0"])
    assert dead.name == "0"
    assert take_slot(tmp_path, "0") is None
    dead.close()


def test_only_slots_in_use_are_recovered(tmp_path: Path) -> None:
    mine = acquire_slot(tmp_path)
    dead = recoverable_slots(tmp_path, ["0", "2", "1"])
    assert [slot.name for slot in dead] == ["1", "2"]
    for slot in (mine, *dead):
        slot.close()


@pytest.mark.parametrize("name", ["", "../x", "0.lock", "-1", "a/0", "²"])
def test_a_name_that_could_lead_elsewhere_is_no_slot(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no slot"):
        take_slot(tmp_path, name)


def test_a_data_directory_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be used"):
        acquire_slot(tmp_path / "file")
