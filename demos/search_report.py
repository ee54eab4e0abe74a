"""The report of tool search: how often the right tool is among the first five, and how long a question takes.

`python -m demos.search_report [FOLDER …]` reads every description below the folders (else those of `tests/specs`).
Held out: the index has names, paths, tags and parameters only, the question is the operation's own summary.
RestBench: where `restbench-x.queries.json` lies beside `restbench-x.json`, the whole human question, and the share of
the calls that its authors found right. Milliseconds are of CPU. Exit 1 when a promise broke (of enough tools).
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_gateway.mesh.approved import make
from agent_gateway.mesh.sources import from_path
from context_mesh.openapi.tool import Tool
from context_mesh.search.index import Entry, Index
from gateway_policies.refusal import Refusal

SMALL: Final = Path(__file__).resolve().parents[1] / "tests" / "specs"
SUFFIXES: Final = (".json", ".yaml", ".yml", ".json.gz", ".tar.gz")
MIN_WORDS: Final = 3  # of a summary that says something
MAX_QUESTIONS: Final = 1_000
ENOUGH_TOOLS: Final = 3_000
MIN_RECALL: Final = 0.83  # at five, held out
MAX_P95_MS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """A tool and where it comes from."""

    source: str
    tool: Tool

    @property
    def key(self) -> str:
        return f"{self.source}|{self.tool.operation.key}"


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of what was to be found among the first one, five and ten, and the 95th percentile of milliseconds."""

    at: tuple[float, float, float]
    p95_ms: float
    count: int


def tools_below(folders: Sequence[Path]) -> list[Found]:
    """Return every tool of every description that can be read."""
    found: list[Found] = []
    for path in _paths(folders):
        try:
            made = make(from_path(path), b"", {})
        except (Refusal, OSError):
            continue
        source = path.name.split(".")[0].removeprefix("restbench-")
        found += [Found(source, tool) for tool in made.toolbox.tools]
    return found


def _paths(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir() and not (folder / "openapi.yml").exists():
            yield from _paths([one for one in sorted(folder.iterdir()) if one.is_dir() or one.name.endswith(SUFFIXES)])
        elif not folder.name.endswith(".queries.json"):
            yield folder


def entry_of(one: Found, *, is_held_out: bool) -> Entry:
    """Return a tool as it is indexed; held out, without anything that a person wrote in sentences."""
    operation = one.tool.operation
    fields = {
        "name": operation.operation_id or one.tool.name,
        "path": operation.path,
        "group": " ".join(one.tool.toolsets),
        "parameters": " ".join(argument.name for argument in one.tool.arguments),
        "source": one.source,
    }
    if not is_held_out:
        fields |= {"title": one.tool.title, "text": one.tool.description}
    return Entry(one.key, fields)


def scored(index: Index, questions: Sequence[tuple[str, frozenset[str]]]) -> Score:
    """Return how many of the right tools each question found."""
    got, wanted, times = [0, 0, 0], 0, list[float]()
    for question, right in questions:
        began = time.process_time()
        hits = [hit.key for hit in index.find(question, 10)]
        times.append(1000 * (time.process_time() - began))
        wanted += len(right)
        for at, count in enumerate((1, 5, 10)):
            got[at] += len(right.intersection(hits[:count]))
    times.sort()
    one, five, ten = (number / max(wanted, 1) for number in got)
    return Score((one, five, ten), times[int(0.95 * len(times))] if times else 0.0, len(questions))


def held_out(found: Sequence[Found], *, names_source: bool) -> list[tuple[str, frozenset[str]]]:
    """Return summaries as questions, spread over all tools."""
    speaking = [one for one in found if len(one.tool.operation.summary.split()) >= MIN_WORDS]
    step = max(1, len(speaking) // MAX_QUESTIONS)
    asked = speaking[::step][:MAX_QUESTIONS]
    return [
        (
            f"{one.source} {one.tool.operation.summary}" if names_source else one.tool.operation.summary,
            frozenset([one.key]),
        )
        for one in asked
    ]


def restbench(folder: Path) -> Iterator[tuple[str, list[tuple[str, frozenset[str]]]]]:
    """Yield the human question sets of a folder: a name, and questions with the calls that are right."""
    for path in sorted(folder.glob("restbench-*.queries.json")):
        source = path.name.split(".")[0].removeprefix("restbench-")
        rows = json.loads(path.read_text("utf-8"))
        yield source, [(row["query"], frozenset(f"{source}|{key}" for key in row["solution"])) for row in rows]


def main(argv: Sequence[str]) -> int:
    folders = [Path(one) for one in argv] or [SMALL]
    found = tools_below(folders)
    names_only = Index(entry_of(one, is_held_out=True) for one in found)
    whole = Index(entry_of(one, is_held_out=False) for one in found)
    print(f"{len(found)} tools; recall at 1, 5, 10; p95 of a question")
    bare = scored(names_only, held_out(found, names_source=False))
    rows = [("held out", bare), ("held out, API named", scored(names_only, held_out(found, names_source=True)))]
    for folder in folders:
        rows += [(f"RestBench {name}", scored(whole, asked)) for name, asked in restbench(folder)]
    for name, score in rows:
        shares = "  ".join(f"{100 * share:5.1f} %" for share in score.at)
        print(f"  {name:<22} {shares}   {score.p95_ms:6.2f} ms   {score.count} questions")
    if len(found) < ENOUGH_TOOLS:
        return 0
    broken = [
        *([] if bare.at[1] >= MIN_RECALL else [f"recall at five is {bare.at[1]:.3f}, below {MIN_RECALL}"]),
        *([] if bare.p95_ms <= MAX_P95_MS else [f"p95 is {bare.p95_ms:.1f} ms, above {MAX_P95_MS}"]),
    ]
    print("\n".join(f"broken: {one}" for one in broken) or "every promise held")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
