"""The files of one description, and what a reference in one of them means.

A reference may lead to the same file, to another local file below the root, or to something with an
`$id` or `$anchor`. Nothing remote is ever read: the reader that is handed in knows local files only,
and is asked for normalised relative paths without `..`. Nothing is dereferenced: callers get places.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, cast
from urllib.parse import unquote, urldefrag, urljoin

from context_mesh.openapi.limits import Limits
from context_mesh.openapi.parse import parse
from gateway_policies.refusal import BadRequest

Read = Callable[[str], bytes | None]

MAX_HOPS: Final = 64  # references that lead to references
MAX_REFERENCE_CHARS: Final = 2_000

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_MISSING: Final = object()


class BrokenReference(Exception):
    """A reference leads nowhere that may be read.

    code    for findings: `dangling-reference`, `remote-reference`, `circular-reference`
    reason  one sentence, lower case
    """

    def __init__(self, reason: str, code: str = "dangling-reference") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A value and where it stands. `pointer` is decoded text as in RFC 6901, without the `#`."""

    file: str
    pointer: str
    value: object

    def __str__(self) -> str:
        return f"{self.file}#{self.pointer}"


class Files:
    """Files by path: each is read and parsed when something first refers to it.

    entry  the bytes of the description itself
    name   its path below the root: what relative references start from
    read   gives another file's bytes, or None when there is none; None: there are no other files
    """

    def __init__(self, entry: bytes, *, name: str = "", read: Read | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.name = _normal("", name) or ""
        self._read = read
        self._hash = sha256(entry)
        self._bytes = len(entry)
        self.values: dict[str, object] = {"": parse(entry, name, self.limits)}
        self._places: dict[tuple[str, str], Place] = {}
        self._identified: dict[str, Mapping[str, str]] = {}
        self._addressed: list[str] = [""] if _has_address(entry) else []  # files in which something has an `$id`
        self._hops = 0  # references that are being followed to walk through one another

    @property
    def read(self) -> Mapping[str, object]:
        """Return every file read so far, parsed."""
        return {name: value for name, value in self.values.items() if value is not _MISSING}

    @property
    def digest(self) -> str:
        """Return `sha256:` and hex over all bytes read so far."""
        return "sha256:" + self._hash.hexdigest()

    def at(self, file: str, pointer: str) -> Place:
        """Return what a JSON pointer names; raises `BrokenReference`."""
        return self._walk(file, pointer, f"{file}#{pointer}")

    def resolve(self, reference: str, file: str) -> Place:
        """Return the place that a reference standing in `file` names; raises `BrokenReference`."""
        known = self._places.get((file, reference))
        if known is None:
            known = self._places[file, reference] = self._resolve(reference, file)
        return known

    def follow(self, value: object, file: str, pointer: str) -> Place:
        """Return `value`, or what its `$ref` leads to, however many references that takes.

        Raises `BrokenReference` also for a circle and for more than 64 hops.
        """
        place = Place(file, pointer, value)
        seen: set[tuple[str, str]] = set()
        while (reference := reference_of(place.value)) is not None:
            place = self.resolve(reference, place.file)
            if (place.file, place.pointer) in seen or len(seen) == MAX_HOPS:
                raise BrokenReference(f"the reference `{shown(reference)}` leads back to itself", "circular-reference")
            seen.add((place.file, place.pointer))
        return place

    def _resolve(self, reference: str, file: str) -> Place:
        if len(reference) > MAX_REFERENCE_CHARS:
            raise BrokenReference("a reference is longer than 2000 characters")
        if reference.startswith("#/") or reference in ("", "#"):
            return self._walk(file, unquote(reference[1:]), reference)
        location, _, fragment = reference.partition("#")
        if not location:
            return self._named(file, reference, reference)
        identified = self._by_id(reference, file)
        if identified is not None:
            return identified
        target = self._file(location, file, reference)
        if fragment and not fragment.startswith("/"):
            return self._named(target, "#" + fragment, reference)
        return self._walk(target, unquote(fragment), reference)

    def _named(self, file: str, anchor: str, reference: str) -> Place:
        """Return what `$anchor` or `$dynamicAnchor` calls so, in one file."""
        pointer = self._names(file).get(anchor)
        if pointer is None:
            raise BrokenReference(f"nothing here is called `{shown(reference)}`")
        return self._walk(file, pointer, reference)

    def _by_id(self, reference: str, file: str) -> Place | None:
        """Return what an `$id` calls so, as written or read against the file's own address."""
        identity, fragment = urldefrag(reference)
        for name in self._addressed:
            names = self._names(name)
            for candidate in dict.fromkeys((identity, _join(names.get("", ""), identity))):
                pointer = names.get(candidate)
                if pointer is None:
                    continue
                if not fragment or fragment.startswith("/"):
                    return self._walk(name, pointer + unquote(fragment), reference)
                if f"{candidate}#{fragment}" in names:
                    return self._walk(name, names[f"{candidate}#{fragment}"], reference)
        return None

    def _names(self, file: str) -> Mapping[str, str]:
        """Return the pointers of identified schemas in a file; `""` is the file's own address."""
        if file not in self._identified:
            self._identified[file] = dict(_identities(self.values[file]))
        return self._identified[file]

    def _file(self, location: str, file: str, reference: str) -> str:
        """Return the key of a local file, which is read now when it was not before."""
        if _SCHEME.match(location) or "\\" in location:
            raise BrokenReference(
                f"`{shown(reference)}` is not a file here, and nothing remote is read", "remote-reference"
            )
        path = _normal(file or self.name, unquote(location.partition("?")[0]))
        if path is None:
            raise BrokenReference(f"`{shown(reference)}` leads out of the description's folder", "remote-reference")
        key = "" if path == self.name else path
        if key not in self.values:
            self.values[key] = self._load(key, reference)
        if self.values[key] is _MISSING:
            raise BrokenReference(f"there is no file for `{shown(reference)}`")
        return key

    def _load(self, key: str, reference: str) -> object:
        if len(self.values) >= self.limits.max_files:
            raise BrokenReference(f"the description has more than {self.limits.max_files} files")
        body = self._read(key) if self._read else None
        if body is None:
            return _MISSING
        self._bytes += len(body)
        if self._bytes > self.limits.max_bytes:
            raise BrokenReference(f"the description's files have more than {self.limits.max_bytes} bytes")
        self._hash.update(key.encode() + b"\0" + body)
        try:
            value = parse(body, key, self.limits)
        except BadRequest as error:
            self.values[key] = _MISSING
            raise BrokenReference(f"`{shown(reference)}`: {error.message}") from None
        if _has_address(body):
            self._addressed.append(key)
        return value

    def _walk(self, file: str, pointer: str, reference: str) -> Place:
        """Follow a pointer, through references on its way."""
        place = Place(file, "", self.values[file])
        if pointer and not pointer.startswith("/"):
            raise BrokenReference(f"`{shown(reference)}` is no JSON pointer")
        for token in pointer.split("/")[1:]:
            child = _child(place.value, token)
            if child is _MISSING and reference_of(place.value) is not None:
                place = self._step(place, reference)
                child = _child(place.value, token)
            if child is _MISSING:
                raise BrokenReference(f"`{shown(reference)}` names nothing that is here")
            place = Place(place.file, f"{place.pointer}/{token}", child)
        return place

    def _step(self, place: Place, reference: str) -> Place:
        if self._hops == MAX_HOPS:
            raise BrokenReference(f"the reference `{shown(reference)}` leads through itself", "circular-reference")
        self._hops += 1
        try:
            return self.follow(place.value, place.file, place.pointer)
        finally:
            self._hops -= 1


def reference_of(value: object) -> str | None:
    """Return the `$ref` of an object, when that is a text."""
    if isinstance(value, dict):
        reference = cast("dict[str, object]", value).get("$ref")
        if isinstance(reference, str):
            return reference
    return None


def shown(text: str) -> str:
    """Return a text from a description for a message: printable and short."""
    clean = "".join(char if char.isprintable() else "�" for char in text[:100])
    return clean if len(text) <= 100 else clean + "…"


def escape(name: str) -> str:
    """Return a name as a token of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _has_address(body: bytes) -> bool:
    """Say whether something in a file may be known by an address of its own."""
    return b"$id" in body or b"$self" in body


def _child(value: object, token: str) -> object:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).get(token.replace("~1", "/").replace("~0", "~"), _MISSING)
    if isinstance(value, list) and token.isascii() and token.isdigit() and len(token) < 10:
        items = cast("list[object]", value)
        return items[int(token)] if int(token) < len(items) else _MISSING
    return _MISSING


def _normal(base: str, path: str) -> str | None:
    """Return `path`, seen from the file `base`, without `.` and `..`; None when it leaves the root."""
    parts = [] if path.startswith("/") else base.split("/")[:-1]
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    whole = "/".join(parts)
    return whole if "\0" not in whole else None


def _join(base: str, reference: str) -> str:
    try:
        return urldefrag(urljoin(base, reference))[0]
    except ValueError:  # a bracket that is no IPv6 address
        return reference


def _identities(root: object) -> Iterator[tuple[str, str]]:
    """Yield every `$self`, `$id`, `$anchor` and `$dynamicAnchor` with its pointer; the first of equal names last."""
    found: list[tuple[str, str]] = []
    own = cast("dict[str, object]", root).get("$self") if isinstance(root, dict) else None
    base = own if isinstance(own, str) else ""
    stack: list[tuple[object, str, str]] = [(root, "", base)]
    while stack:
        value, pointer, base = stack.pop()
        if isinstance(value, list):
            stack += [(item, f"{pointer}/{index}", base) for index, item in enumerate(cast("list[object]", value))]
        elif isinstance(value, dict):
            members = cast("dict[str, object]", value)
            identity = members.get("$id")
            if isinstance(identity, str):
                base = _join(base, identity)
                found += [(identity, pointer), (base, pointer)]
            for keyword in ("$anchor", "$dynamicAnchor"):
                anchor = members.get(keyword)
                if isinstance(anchor, str):
                    found += [(f"#{anchor}", pointer), (f"{base}#{anchor}", pointer)]
            stack += [(item, f"{pointer}/{escape(name)}", base) for name, item in members.items()]
    yield from found
    if isinstance(own, str):
        yield own, ""
        yield "", own
