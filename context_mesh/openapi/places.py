"""Definitions and spots: which schema is meant, what it is called, and where a conversion stands."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from context_mesh.openapi.members import JsonObject, array

Scope = tuple[tuple[str, str, str], ...]  # what `$dynamicRef` names lead to: anchor, file, pointer

MAX_NAME_CHARS: Final = 60

_SMALL_ENUM: Final = 8
_SMALL: Final = frozenset(
    {
        "type",
        "format",
        "enum",
        "const",
        "default",
        "description",
        "title",
        "example",
        "examples",
        "nullable",
        "deprecated",
        "readOnly",
        "writeOnly",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "externalDocs",
        "xml",
    }
)
"""Keywords of one value: a schema of these alone leads nowhere else."""
_NAMED: Final = ("/components/schemas/", "/definitions/")


@dataclass(frozen=True, slots=True)
class Key:
    """A definition: which schema, without its alternatives or whole, and what dynamic names mean in it."""

    file: str
    pointer: str
    is_plain: bool = False
    scope: Scope = ()


@dataclass(frozen=True, slots=True)
class Spot:
    """Where the conversion stands.

    owner   the definition that asks about this very value; None: the value is another one by now
    is_union  the value may also be something else: an alternative is above
    hidden  properties that other parts of the same object leave out
    """

    file: str
    pointer: str
    owner: Key | None = None
    is_union: bool = False
    hidden: frozenset[str] = frozenset()
    scope: Scope = ()
    depth: int = 0

    def below(self, *tokens: str | int, same: bool = False, alternative: bool = False) -> "Spot":
        """Return the spot of a part; `same`: the part asks about the same value."""
        return Spot(
            self.file,
            "/".join((self.pointer, *map(str, tokens))),
            self.owner if same else None,
            same and (self.is_union or alternative),
            self.hidden if same else frozenset(),
            self.scope,
            self.depth + 1,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A converted schema. `uses`: the definitions that it refers to, and how often."""

    schema: JsonObject
    uses: Counter[str]


def is_small(written: Mapping[str, object]) -> bool:
    """Say whether a schema is shorter than a reference to it is useful: one value, few choices."""
    return (
        "type" in written
        and len(array(written.get("enum"))) <= _SMALL_ENUM
        and all(keyword in _SMALL or keyword.startswith("x-") for keyword in written)
    )


def named_above(pointer: str) -> str:
    """Return the pointer of the named schema that holds `pointer`."""
    for prefix in _NAMED:
        if pointer.startswith(prefix):
            return prefix + pointer[len(prefix) :].partition("/")[0]
    return pointer


def name_of(key: Key) -> str:
    """Return a definition's name, which depends on its own place alone: another schema's coming changes none."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "_.-") else "_" for char in _last(key))
    is_own = key.file == "" and not key.is_plain and not key.scope
    is_named = any(key.pointer == prefix + plain for prefix in _NAMED)
    if is_own and is_named and len(plain) <= MAX_NAME_CHARS:
        return plain
    digest = sha256(repr((key.file, key.pointer, key.is_plain, key.scope)).encode()).hexdigest()[:8]
    return f"{plain[: MAX_NAME_CHARS - 9]}_{digest}"


def _last(key: Key) -> str:
    return key.pointer.rpartition("/")[2] or key.file.rpartition("/")[2].partition(".")[0] or "root"
