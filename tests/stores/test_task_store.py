"""The contract of `TaskStore`, run over every adapter. Add an adapter to `STORES`."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_gateway.stores.sqlite_file import connect
from agent_gateway.stores.sqlite_tasks import MIGRATIONS, SqliteTasks
from agent_gateway.stores.task_store import MAX_IDS, Choice, Owner, Seen, Tasks, TaskStore, Where, owner_of
from gateway_policies.principal import Hop, Principal
from gateway_policies.refusal import Unavailable
from support.memory_tasks import MemoryTasks

ANA = Where(Owner("acme", "ana"), "writer")
BEN = Where(Owner("acme", "ben"), "writer")
EVE = Where(Owner("globex", "ana"), "writer")  # the same name in another tenant


class Open(Protocol):
    def __call__(self, path: Path, max_tasks: int = 100, max_contexts: int = 100) -> TaskStore: ...


STORES: dict[str, Open] = {
    "memory": lambda path, max_tasks=100, max_contexts=100: MemoryTasks(max_tasks, max_contexts),
    "sqlite": lambda path, max_tasks=100, max_contexts=100: SqliteTasks(
        path / "tasks.db", max_tasks=max_tasks, max_contexts=max_contexts
    ),
}


@pytest.fixture(params=STORES)
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., TaskStore]]:
    opened: list[TaskStore] = []

    def open_store(**limits: int) -> TaskStore:
        opened.append(STORES[str(request.param)](tmp_path, **limits))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(opening: Callable[..., TaskStore]) -> TaskStore:
    return opening()


@pytest.mark.requirement("a2a.task-owner")
def test_who_claims_first_has_it_and_nobody_else_ever(store: TaskStore) -> None:
    assert store.claim(ANA, [Seen("t1", "c1", "working")], [], 1.0)
    for other in (BEN, EVE):
        assert not store.claim(other, [Seen("t1")], [], 2.0)
        assert not store.claim(other, [], ["c1"], 2.0)
        assert not store.owns(other, ["t1"], [])
        assert not store.owns(other, [], ["c1"])
    assert store.owns(ANA, ["t1"], ["c1"])
    assert store.mine(ANA, ["t1", "t2"]) == {"t1"}
    assert store.mine(BEN, ["t1", "t2"]) == frozenset()


def test_a_claim_takes_everything_or_nothing(store: TaskStore) -> None:
    store.claim(ANA, [Seen("t1")], [], 1.0)
    assert not store.claim(BEN, [Seen("t2"), Seen("t1")], ["c2"], 2.0)
    assert not store.owns(BEN, ["t2"], [])
    assert not store.owns(BEN, [], ["c2"])
    assert store.claim(EVE, [Seen("t2")], ["c2"], 3.0)


def test_the_same_id_at_another_agent_is_another_id(store: TaskStore) -> None:
    elsewhere = Where(BEN.owner, "planner")
    assert store.claim(ANA, [Seen("t1")], [], 1.0)
    assert store.claim(elsewhere, [Seen("t1")], [], 1.0)
    assert not store.owns(Where(ANA.owner, "planner"), ["t1"], [])


def test_an_id_that_never_was_is_nobodys(store: TaskStore) -> None:
    assert not store.owns(ANA, ["t1"], [])
    assert not store.owns(ANA, [], ["c1"])
    assert store.owns(ANA, [], [])


def test_a_task_made_by_one_skill_is_not_reached_by_another(store: TaskStore) -> None:
    draft, delete = (Where(ANA.owner, "writer", skill) for skill in ("draft", "delete"))
    store.claim(draft, [Seen("t1", "c1")], [], 1.0)
    assert store.owns(draft, ["t1"], ["c1"])
    assert not store.owns(delete, ["t1"], [])
    assert store.owns(ANA, ["t1"], []), "the agent as a whole includes its skills"
    assert (store.count(delete, Choice()), store.count(draft, Choice()), store.count(ANA, Choice())) == (0, 1, 1)
    store.claim(delete, [Seen("t1", state="working")], [], 2.0)
    assert not store.owns(delete, ["t1"], []), "a later claim does not move it"


def test_what_an_agent_leaves_unsaid_stays_as_it_was(store: TaskStore) -> None:
    store.claim(ANA, [Seen("t1", "c1", "working")], [], 1.0)
    store.claim(ANA, [Seen("t1")], [], 2.0)
    (task,) = store.page(ANA, Choice(), None, 10)
    assert (task.context, task.state, task.created_at, task.updated_at) == ("c1", "working", 1.0, 2.0)
    store.claim(ANA, [Seen("t1", state="completed")], [], 3.0)
    assert [one.state for one in store.page(ANA, Choice(), None, 10)] == ["completed"]


def test_pages_go_from_the_last_changed_on_and_miss_none(store: TaskStore) -> None:
    for at, name in enumerate(("t1", "t2", "t3", "t4", "t5")):
        store.claim(ANA, [Seen(name)], [], 1.0 + at // 2)  # some at the same time
    store.claim(BEN, [Seen("other")], [], 9.0)
    seen: list[str] = []
    after = None
    while page := store.page(ANA, Choice(), after, 2):
        seen += [task.id for task in page]
        after = (page[-1].updated_at, page[-1].id)
    assert seen == ["t5", "t4", "t3", "t2", "t1"]
    assert store.count(ANA, Choice()) == 5


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (Choice(context="c1"), ["t2", "t1"]),
        (Choice(state="completed"), ["t3", "t2"]),
        (Choice(since=3.0), ["t3"]),
        (Choice(context="c1", state="completed"), ["t2"]),
        (Choice(context="c' OR 1=1 --"), []),
    ],
)
def test_a_choice_narrows(store: TaskStore, choice: Choice, wanted: list[str]) -> None:
    store.claim(ANA, [Seen("t1", "c1", "working")], [], 1.0)
    store.claim(ANA, [Seen("t2", "c1", "completed")], [], 2.0)
    store.claim(ANA, [Seen("t3", "c2", "completed")], [], 3.0)
    assert [task.id for task in store.page(ANA, choice, None, 10)] == wanted
    assert store.count(ANA, choice) == len(wanted)


def test_beyond_the_limit_the_longest_silent_is_forgotten(opening: Callable[..., TaskStore]) -> None:
    store = opening(max_tasks=2, max_contexts=1)
    for at, name in enumerate(("t1", "t2", "t3")):
        store.claim(ANA, [Seen(name, f"c-{name}")], [], float(at))
    store.claim(BEN, [Seen("t9")], [], 9.0)
    assert [store.owns(ANA, [name], []) for name in ("t1", "t2", "t3")] == [False, True, True]
    assert [store.owns(ANA, [], [f"c-{name}"]) for name in ("t1", "t2", "t3")] == [False, False, True]
    assert store.owns(BEN, ["t9"], [])


def test_what_is_old_is_forgotten(store: TaskStore) -> None:
    store.claim(ANA, [Seen("t1", "c1")], [], 1.0)
    store.claim(ANA, [Seen("t2", "c2")], [], 5.0)
    store.prune(5.0)
    assert (store.owns(ANA, ["t1"], []), store.owns(ANA, [], ["c1"])) == (False, False)
    assert store.owns(ANA, ["t2"], ["c2"])


@pytest.mark.requirement("a2a.task-owner-survives")
def test_owners_are_the_same_after_a_restart_and_in_another_process(tmp_path: Path) -> None:
    with closing(SqliteTasks(tmp_path / "tasks.db")) as first:
        assert first.claim(ANA, [Seen("t1", "c1")], [], 1.0)
        with closing(SqliteTasks(tmp_path / "tasks.db")) as beside:
            assert beside.owns(ANA, ["t1"], ["c1"])
            assert not beside.claim(BEN, [Seen("t1")], [], 2.0)
    with closing(SqliteTasks(tmp_path / "tasks.db")) as again:
        assert again.owns(ANA, ["t1"], ["c1"])
        assert not again.owns(BEN, ["t1"], [])


def test_a_store_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "tasks.db").write_bytes(b"this is no database, and never was one" * 100)
    with closing(SqliteTasks(tmp_path / "tasks.db")) as store, pytest.raises(Unavailable, match="the store of tasks"):
        store.owns(ANA, ["t1"], [])


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with closing(SqliteTasks(tmp_path / "tasks.db")) as store:
        store.claim(ANA, [], [], 1.0)
    with closing(connect(tmp_path / "tasks.db")) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with closing(SqliteTasks(tmp_path / "tasks.db")) as store, pytest.raises(Unavailable, match="newer version"):
        store.owns(ANA, [], [])


names = st.sampled_from(["a", "b"])
claims = st.lists(st.tuples(st.sampled_from([ANA, BEN, EVE]), names, names, st.booleans()), max_size=12)


@settings(max_examples=25, deadline=None)
@given(claims=claims)
def test_both_adapters_agree_whatever_is_claimed(
    claims: list[tuple[Where, str, str, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with closing(SqliteTasks(tmp_path_factory.mktemp("tasks") / "t.db", max_tasks=1)) as real:
        plain = MemoryTasks(max_tasks=1)
        for at, (where, task, context, is_bare) in enumerate(claims):
            tasks = [] if is_bare else [Seen(task, context)]
            assert real.claim(where, tasks, [context], float(at)) == plain.claim(where, tasks, [context], float(at))
        for where in (ANA, BEN, EVE):
            for name in "ab":
                assert real.owns(where, [name], []) == plain.owns(where, [name], [])
                assert real.owns(where, [], [name]) == plain.owns(where, [], [name])


# --- owners ----------------------------------------------------------------------------------

PLANNER = Principal(kind="agent", id="planner", tenant="acme", issuer="https://gw", client_id="planner")


def test_an_agent_is_itself_whatever_proves_it() -> None:
    by_key = Principal(
        kind="agent", id="planner", tenant="acme", issuer="api_key", client_id="k1", credential="api_key"
    )
    assert owner_of(PLANNER) == owner_of(by_key)


@pytest.mark.parametrize(
    "other",
    [
        Principal(kind="agent", id="planner", tenant="globex"),
        Principal(kind="user", id="planner", tenant="acme"),
        Principal(kind="agent", id="planner", tenant="acme", chain=(Hop("https://idp", "ana", True),)),
        Principal(kind="agent", id='planner"]', tenant="acme"),
    ],
)
def test_another_tenant_kind_or_chain_is_another_owner(other: Principal) -> None:
    assert owner_of(other) != owner_of(PLANNER)


def test_two_issuers_may_know_the_same_subject() -> None:
    one, two = (Principal(kind="user", id="ana", tenant="acme", issuer=issuer) for issuer in ("https://a", "https://b"))
    assert owner_of(one) != owner_of(two)


async def test_a_worker_asks_in_a_thread_of_its_own() -> None:
    tasks = Tasks(MemoryTasks(), lambda: 100.0)
    try:
        assert await tasks.claim(ANA, [Seen("t1", "c1")], [])
        assert await tasks.owns(ANA, ["t1"], ["c1"])
        assert not await tasks.owns(ANA, ["t1"] * (MAX_IDS + 1))
        assert (await tasks.mine(ANA, ["t1", "t2"]), await tasks.mine(ANA, [])) == ({"t1"}, frozenset())
        page, count = await tasks.page(ANA, Choice(), None, 10)
        assert ([task.id for task in page], count) == (["t1"], 1)
        await tasks.prune(older_than_s=-1)
        assert not await tasks.owns(ANA, ["t1"])
    finally:
        await tasks.aclose()
