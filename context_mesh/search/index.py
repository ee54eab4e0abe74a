"""The index: BM25F over the fields of tools, in plain Python.

Built once per catalogue, off the hot path; asked per query, in about a millisecond at 5 000 tools.
Who may see what is decided before: a query names the tools that count. How rare a word is, is counted among those
alone, and how long a field is, is held against constants: what a caller may not see changes nothing that it sees.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from math import log
from operator import mul
from typing import Final

from context_mesh.search.words import SYNONYMS, stem, terms

K1: Final = 1.2
B: Final = 0.5  # how much a long field counts less
MAX_QUERY_TERMS: Final = 64
SYNONYM_WEIGHT: Final = 0.4
COMMON_SHARE: Final = 0.05  # a term in a larger part of all tools is common
MIN_COMMON: Final = 200
TYPICAL_TERMS: Final[Mapping[str, float]] = {
    "name": 4.0, "title": 4.0, "path": 5.0, "group": 1.5, "parameters": 8.0, "text": 16.0, "source": 1.5,
}  # fmt: skip
"""How many terms a field of a real tool has on average."""
MIN_FINDERS: Final = 3  # terms of a query that find tools however common they are
RRF_K: Final = 60  # of reciprocal rank fusion

WEIGHTS: Final[Mapping[str, float]] = {
    "name": 3.0, "title": 2.0, "path": 2.0, "group": 1.0, "parameters": 0.7, "text": 1.5, "source": 1.5,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool as it is searched for.

    key     what a hit is called
    fields  text by field: `name`, `title`, `path`, `group`, `parameters`, `text`, `source`
    """

    key: str
    fields: Mapping[str, str]

    @property
    def text(self) -> str:
        """All that is said of it, in one text."""
        return " ".join(text for text in self.fields.values() if text)


@dataclass(frozen=True, slots=True)
class Hit:
    key: str
    score: float


class Index:
    """Tools by the terms in them."""

    def __init__(self, entries: Iterable[Entry], weights: Mapping[str, float] = WEIGHTS) -> None:
        self._keys: list[str] = []
        self._postings: defaultdict[str, dict[int, float]] = defaultdict(dict)  # by term: its weight for a tool
        for number, entry in enumerate(entries):
            self._keys.append(entry.key)
            for term, weight in _weighed(_counted(entry.fields), weights).items():
                self._postings[term][number] = weight / (K1 + weight)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, query: str, limit: int, among: Container[str] | None = None) -> list[Hit]:
        """Return the best tools for a query, best first; equal ones in the order of the index.

        among  keys that count; None: all. A tool that does not count changes nothing about the others, nor their scores
        """
        keys = self._keys
        counts = [True] * len(keys) if among is None else [key in among for key in keys]
        total = sum(counts)
        known = [
            ({number: score for number, score in self._postings[term].items() if counts[number]}, weight)
            for term, weight in _asked(query).items()
            if term in self._postings
        ]
        known.sort(key=lambda pair: (pair[1] < 1, len(pair[0])))  # what was said before synonyms, rare before common
        common = max(int(COMMON_SHARE * total), MIN_COMMON)
        scores: dict[int, float] = {}
        for rank, (postings, said) in enumerate(known):
            weight = said * log(1 + (total - len(postings) + 0.5) / (len(postings) + 0.5))
            if rank < MIN_FINDERS or len(postings) <= common:
                for number, score in postings.items():
                    scores[number] = scores.get(number, 0.0) + weight * score
            else:  # nearly everywhere: it orders what others found, and finds nothing itself
                for number in scores.keys() & postings.keys():
                    scores[number] += weight * postings[number]
        best = nsmallest(limit, ((-score, number) for number, score in scores.items()))
        return [Hit(keys[number], -score) for score, number in best]


def _counted(fields: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return how often each term is in each field."""
    found: dict[str, dict[str, int]] = {}
    for name, text in fields.items():
        counts: defaultdict[str, int] = defaultdict(int)
        for term in terms(text):
            counts[term] += 1
        found[name] = counts
    return found


def _weighed(fields: Mapping[str, Mapping[str, int]], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of each term of one tool: its counts by field, a long field counting less."""
    found: defaultdict[str, float] = defaultdict(float)
    for name, counts in fields.items():
        length = sum(counts.values())
        norm = 1 - B + B * length / TYPICAL_TERMS.get(name, 4.0)
        for term, count in counts.items():
            found[term] += weights.get(name, 1.0) * count / norm
    return found


def _asked(query: str) -> dict[str, float]:
    """Return the terms of a query and what each weighs; synonyms weigh less than what was said."""
    said = terms(query)[:MAX_QUERY_TERMS]
    asked: dict[str, float] = {}
    for term in said:
        asked[term] = asked.get(term, 0.0) + 1.0
    for term in said:
        for other in _ALIKE.get(term, ()):
            asked.setdefault(other, SYNONYM_WEIGHT)
    return asked


def _alike() -> dict[str, tuple[str, ...]]:
    both: defaultdict[str, list[str]] = defaultdict(list)
    for word, others in SYNONYMS.items():
        for other in others:
            both[stem(word)].append(stem(other))
            both[stem(other)].append(stem(word))
    return {term: tuple(dict.fromkeys(others)) for term, others in both.items()}


_ALIKE: Final = _alike()


def fused(rankings: Sequence[Sequence[Hit]], limit: int) -> list[Hit]:
    """Return one ranking of several: reciprocal rank fusion, for words and vectors together."""
    scores: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, hit in enumerate(ranking):
            scores[hit.key] += 1 / (RRF_K + rank + 1)
    best = sorted(scores.items(), key=lambda pair: -pair[1])[:limit]
    return [Hit(key, score) for key, score in best]


class Vectors:
    """Tools by the embeddings of their texts; exact search, for some ten thousand tools.

    vectors  by key, of unit length and of one size; making them is left to others
    """

    def __init__(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self._vectors = dict(vectors)

    def find(self, asked: Sequence[float], limit: int, among: Container[str] | None = None) -> list[Hit]:
        """Return the nearest tools, nearest first; none for a vector of another size."""
        hits = (
            Hit(key, sum(map(mul, asked, vector)))
            for key, vector in self._vectors.items()
            if len(vector) == len(asked) and (among is None or key in among)
        )
        return nsmallest(limit, hits, key=lambda hit: (-hit.score, hit.key))
