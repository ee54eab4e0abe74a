"""Words: from identifiers and prose to the terms that an index holds.

`listPullRequests`, `list_pull-requests` and "listing pull requests" have to meet; that is worth more than a
neural model when all there is are names and paths.
"""

import re
from collections.abc import Iterator
from typing import Final

MAX_TERMS: Final = 2_000  # of one text

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_STOP_WORDS: Final = (
    "a an and any are as at be by can do does for from has have how i if in into is it its me my of on or our so "
    "such that the their them then there these this to was we what when where which who will with would you your "
    "please via using use given all api"
)
_STOP: Final = frozenset(_STOP_WORDS.split())
_PLURALS: Final = (
    ("sses", "ss"),
    ("ies", "y"),
    ("xes", "x"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("ss", "ss"),
    ("us", "us"),
    ("is", "is"),
    ("s", ""),
)
_DOUBLES: Final = frozenset("bdgmnprt")

SYNONYMS: Final = {
    "get": ("fetch", "show", "read"), "list": ("show",), "create": ("add", "new", "make"), "delete": ("remove",),
    "update": ("edit", "change", "modify"), "search": ("find", "query"), "send": ("post",), "stop": ("cancel", "abort"),
    "repo": ("repository",), "org": ("organization",), "id": ("identifier",), "auth": ("authentication",),
    "config": ("configuration",), "info": ("information",), "stat": ("statistic",), "img": ("image",),
    "doc": ("document",),
    "msg": ("message",), "pic": ("image", "photo"), "tv": ("television", "show"),
}  # fmt: skip
"""What a person may say for a word of an identifier; both ways when a query is read."""


def terms(text: str) -> list[str]:
    """Return the terms of a text in order: split at case, digits and signs, stemmed, without stop words."""
    return list(_terms(text))


def _terms(text: str) -> Iterator[str]:
    count = 0
    for match in _WORD.finditer(text):
        word = match[0].lower()
        if word in _STOP:
            continue
        yield stem(word)
        count += 1
        if count >= MAX_TERMS:
            return


def stem(word: str) -> str:
    """Return the stem of an English word in lower case: plural, `-ing`, `-ed` and some endings are taken off.

    Harman's S-stemmer and the first steps of Porter's: wrong stems do little harm as long as both sides get them.
    """
    if len(word) < 4 or not word.isascii():
        return word
    for ending, instead in _PLURALS:
        if word.endswith(ending):
            word = word[: len(word) - len(ending)] + instead
            break
    for ending in ("ing", "ed"):
        stripped = word.removesuffix(ending)
        if stripped != word and len(stripped) >= 3 and any(vowel in stripped for vowel in "aeiouy"):
            word = _undoubled(stripped)
            break
    for ending, instead in (("ation", "at"), ("ment", ""), ("ly", ""), ("er", ""), ("or", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: len(word) - len(ending)] + instead
            break
    return word.removesuffix("e") if len(word) > 4 else word


def _undoubled(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] in _DOUBLES else word
