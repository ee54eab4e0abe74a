"""Dead letters: what no webhook took is shown by the admin API and the command line, without the secret of where."""

from contextlib import closing
from pathlib import Path

import pytest

from agent_gateway.stores.push_store import DeadLetter, Hook, Share
from agent_gateway.stores.sqlite_file import SqliteFile
from agent_gateway.stores.sqlite_push import MIGRATIONS, SqlitePush
from agent_gateway.stores.task_store import Owner, Where
from support.admin import admin_client
from support.command_line import Run
from support.gateways import gateway
from support.scenes import FILES, world

SHOWN = {"at": 60.0, "tenant": "acme", "agent": "writer", "task": "t-1", "why": "upstream_failed", "size_bytes": 2}


def bury_one(path: Path) -> None:
    with closing(SqlitePush(path)) as store:
        store.put(Hook("unguessable", Where(Owner("acme", "ana"), "writer"), "t-1", "c1", b"sealed", 1.0))
        store.add("unguessable", b"{}", 1.0)
        (delivery,) = store.take(1.0, 60.0, Share(1, 1))
        store.bury(delivery.id, "upstream_failed", 60.0)


async def test_dead_letters_are_shown_to_operators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with gateway(tmp_path, world([]), **FILES) as gate:
        bury_one(gate.worker.data.push)
        async with admin_client(gate) as client:
            told = await client.get("/v1/dead-letters")
    assert told.json() == [SHOWN]
    run = Run(capsys, "--config", tmp_path / "gateway.yaml", "dead-letters", "--json")
    assert run.data == {"dead_letters": [SHOWN]}
    assert "unguessable" not in told.text + run.out
    text = Run(capsys, "--config", tmp_path / "gateway.yaml", "dead-letters").out
    assert "1970-01-01 00:01:00  acme  writer  task t-1  upstream_failed  2 bytes" in text


def test_nothing_is_dead_where_no_gateway_ran_and_looking_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in FILES.items():
        (tmp_path / name.replace("__", ".")).write_text(text)
    (tmp_path / "gateway.yaml").write_text("version: 1\ndata_dir: ./data\n" + world([]))
    run = Run(capsys, "--config", tmp_path / "gateway.yaml", "dead-letters")
    assert (run.code, run.out.strip()) == (0, "no dead letters")
    assert not (tmp_path / "data").exists()


def test_a_store_of_an_older_gateway_is_taken_over(tmp_path: Path) -> None:
    with closing(SqliteFile(tmp_path / "push.db", MIGRATIONS[:-1], "an older store")) as old, old.transaction() as db:
        db.execute("INSERT INTO dead_letter (hook, body, why, at) VALUES ('h', ?, 'gone', 5.0)", (b"{}",))
    with closing(SqlitePush(tmp_path / "push.db")) as store:
        (letter,) = store.dead()
    assert letter == DeadLetter("h", "gone", 5.0, "", "", "", 2)
