"""What one worker's ledger promises the pipeline."""

from pathlib import Path

import anyio

from support.ledgers import DAY, charge, figures, sqlite_store, worker

BUCKET = f"daily/acme/planner {DAY}"


async def test_of_fifty_parallel_calls_on_a_limit_of_twenty_exactly_twenty_succeed(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path)
    results: list[bool] = []
    async with worker(store) as one, anyio.create_task_group() as group:

        async def call(number: int) -> None:
            results.append(await one.call(f"call-{number}", [charge(limit=20)]))

        for number in range(50):
            group.start_soon(call, number)
    assert results.count(True) == 20
    assert figures(store)[BUCKET] == (20, 0, 0)


async def test_nothing_is_stranded_when_calls_of_many_sizes_fill_a_budget(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path)
    async with worker(store) as one:
        sizes = [70, 29, 5, 1, 1]
        taken = [await one.call(f"call-{size}-{at}", [charge(size, limit=100)]) for at, size in enumerate(sizes)]
    assert taken == [True, True, False, True, False]
    assert figures(store)[BUCKET] == (100, 0, 0)
