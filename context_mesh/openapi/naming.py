"""Names of tools: readable, `[a-z0-9_-]`, distinct, and the same again at the next import.

A name comes from its own operation alone. Two that would be equal are told apart by a suffix from the
operation's key; the names of an earlier import win over both.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from context_mesh.openapi.model import Operation

MAX_NAME_CHARS: Final = 50
"""Room is left for what goes in front: `{upstream}__`, 64 characters in all."""

_SUFFIX_DIGITS: Final = 6
_NOISE: Final = re.compile(
    r"Using(?:GET|PUT|POST|DELETE|PATCH|HEAD|OPTIONS)(?:_\d+)?$|(?<=[a-z])Controller(?=_)|^Controller_"
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHER: Final = re.compile(r"[^a-z0-9]+")
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")


def tool_names(operations: Sequence[Operation], known: Mapping[str, str]) -> dict[str, str]:
    """Return each operation's name by its key.

    known  names of an earlier import by key; they are kept where they are names and still distinct
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for operation in operations:
        name = known.get(operation.key, "")
        if name not in taken and is_name(name):
            names[operation.key] = name
            taken.add(name)
    for operation in sorted(operations, key=lambda item: item.key):
        if operation.key in names:
            continue
        name = _name(operation)
        if name in taken:
            name = _suffixed(name, operation.key, taken)
        names[operation.key] = name
        taken.add(name)
    return names


def is_name(text: str) -> bool:
    """Say whether a text is a tool's name as it stands."""
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def snake(text: str) -> str:
    """Return a text as lower-case words with underscores; what is not ASCII goes, or becomes its plain letter."""
    decomposed = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    plain = "".join(char for char in decomposed if char.isascii())
    return _OTHER.sub("_", _HUMP.sub("_", plain).lower()).strip("_")


def _name(operation: Operation) -> str:
    """Return the plain name: a hint, the operation's id, or its method and path; cut to length with a suffix."""
    given = operation.hints.name or _NOISE.sub("", operation.operation_id)
    name = snake(given)
    lost = sum(not char.isascii() for char in given) > len(given) // 2
    if not name or lost:
        name = _from_path(operation)
    if len(name) <= MAX_NAME_CHARS:
        return name
    return _suffixed(name, operation.key, set())


def _from_path(operation: Operation) -> str:
    words = [operation.method.lower()]
    segments = [segment for segment in operation.path.split("/") if segment]
    for index, segment in enumerate(segments):
        variables = _VARIABLE.findall(segment)
        fixed = snake(_VARIABLE.sub(" ", segment))
        if fixed:
            words.append(fixed)
        if variables and index == len(segments) - 1:
            words += ["by", *(snake(variable) or "value" for variable in variables)]
    words += [snake(part) for part in (operation.query, operation.fragment) if part]
    name = "_".join(word for word in words if word)
    return name if len(words) > 1 else f"{name}_root"


def _suffixed(name: str, key: str, taken: set[str]) -> str:
    """Return `name`, cut at a word where that is near, with hex digits of its key, more of them while it is taken."""
    digest = sha256(key.encode()).hexdigest()
    digits = _SUFFIX_DIGITS
    while True:
        room = MAX_NAME_CHARS - 1 - digits
        short = name[:room]
        if len(name) > room and "_" in short[room // 2 :]:
            short = short.rpartition("_")[0]
        candidate = f"{short.rstrip('_')}_{digest[:digits]}"
        if candidate not in taken:
            return candidate
        digits += 1
