"""Public names: `{upstream}__{tool}`, at most 64 characters, looked up and never taken apart.

A name depends on its own upstream alone: adding, losing or changing another
upstream renames nothing. Models take `[A-Za-z0-9_-]{1,64}`; what does not fit
gets a suffix from the hash of the true name.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final

MAX_PUBLIC_CHARS: Final = 64
MAX_NATIVE_CHARS: Final = 128
SEPARATOR: Final = "__"

_UPSTREAM: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
_SUFFIX_DIGITS: Final = 8
_SEPARATORS: Final = str.maketrans("-.", "__")
_LOOKALIKES: Final = str.maketrans("-.01I|", "__olll")


def problem_with(native: str) -> str:
    """Return why a tool's own name cannot be used, or an empty string.

    A name may hold any visible character that is in Unicode's compatible composed form: what looks
    like another name, hides, or reorders the line is refused, never repaired.
    """
    if not 0 < len(native) <= MAX_NATIVE_CHARS:
        return f"a name has 1 to {MAX_NATIVE_CHARS} characters"
    if unicodedata.normalize("NFKC", native) != native:
        return "the name is not in Unicode's compatible form (NFKC)"
    if any(unicodedata.category(char)[0] in "CZ" for char in native):
        return "the name holds a space, a control or an invisible character"
    return ""


def public_names(upstream: str, natives: Iterable[str]) -> Mapping[str, str]:
    """Return the public name of each of an upstream's tools; distinct, whatever the names are.

    upstream  `[a-z0-9][a-z0-9-]{0,31}`: without an underscore, so that no two upstreams can meet
    natives   the tools' own names, in any order; repeats count once

    Of names that look alike (`delete`, `Delete`, `de1ete`) the plainest stays and the others get a
    suffix, as does a name that is too long or holds other characters. Raises `ValueError` for an
    upstream's name that breaks the rule.
    """
    if not _UPSTREAM.fullmatch(upstream):
        raise ValueError(f"`{upstream}` is no name for an upstream")
    names: dict[str, str] = {}
    taken: set[str] = set()
    seen: set[str] = set()
    for native in sorted(set(natives), key=_plainest_first):
        plain = upstream + SEPARATOR + _UNSAFE.sub("_", native)
        looks = _looks(native)
        is_plain = plain == upstream + SEPARATOR + native and len(plain) <= MAX_PUBLIC_CHARS
        needs_suffix = not is_plain or not looks.isdisjoint(seen)
        name = _suffixed(plain, upstream, native, taken) if needs_suffix else plain
        names[native] = name
        taken.add(name)
        seen |= looks
    return names


def _plainest_first(native: str) -> tuple[bool, bool, bool, str]:
    return (
        _UNSAFE.search(native) is not None,
        native != native.lower(),
        native != native.translate(_LOOKALIKES),
        native,
    )


def _looks(native: str) -> set[str]:
    """Return what a reader in a hurry may take a name for: in any case, and with look-alikes."""
    return {native.casefold().translate(_SEPARATORS), native.translate(_LOOKALIKES).casefold()}


def _suffixed(plain: str, upstream: str, native: str, taken: set[str]) -> str:
    """Return `plain` cut to make room for a hash of the true name, longer while that is taken."""
    digest = sha256(f"{upstream}\0{native}".encode()).hexdigest()
    digits = _SUFFIX_DIGITS
    while True:
        name = f"{plain[: MAX_PUBLIC_CHARS - 1 - digits]}_{digest[:digits]}"
        if name not in taken:
            return name
        digits += 1
