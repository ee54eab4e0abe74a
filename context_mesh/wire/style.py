"""Styles: how one parameter is laid out in a path, a query, a header or a cookie.

Source: OpenAPI 3.2, 4.12.5 "Style Examples" (the tables of 3.0.4 and 3.1.1 are the same), and RFC 6570 where they
are silent: null members, an empty array and an empty object are as if they were not there. Values are escaped;
what separates them stands as the table has it. Where a parameter goes and whether it may is decided by `plan`.
"""

from typing import Final

from context_mesh.wire.spelling import BadArgument, escaped, items_of, members_of, text_of

MAX_NESTING: Final = 16  # of one deepObject value

_DELIMITERS: Final = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C", "tabDelimited": "%09"}


def in_path(name: str, value: object, style: str, *, explode: bool) -> str:
    """Return the text that stands for `{name}` in a path; empty when nothing is to be said.

    style  `simple`, `label` or `matrix`; another one counts as `simple`
    """
    parts = _parts(value, joint="=" if explode else ",")
    if style == "matrix":
        return _matrix(escaped(name), value, parts, explode=explode)
    if style == "label":
        return "." + ("." if explode else ",").join(parts) if parts else ""
    return ",".join(parts)


def _matrix(name: str, value: object, parts: list[str], *, explode: bool) -> str:
    if not parts:
        return ""
    if members_of(value) is not None and explode:
        return "".join(f";{part}" for part in parts)
    if items_of(value) is not None and explode:
        return "".join(f";{name}={part}" if part else f";{name}" for part in parts)
    joined = ",".join(parts)
    return f";{name}={joined}" if joined else f";{name}"


def _parts(value: object, *, joint: str) -> list[str]:
    """Return the escaped pieces of a value: one, each element, or each member (`joint` between name and value)."""
    items, members = items_of(value), members_of(value)
    if items is not None:
        return [escaped(text_of(item)) for item in items]
    if members is None:
        return [] if value is None else [escaped(text_of(value))]
    pairs = [(escaped(key), escaped(text_of(item))) for key, item in members.items()]
    if joint == ",":
        return [piece for pair in pairs for piece in pair]
    return [joint.join(pair) for pair in pairs]


def in_query(name: str, value: object, style: str, *, explode: bool, keeps_reserved: bool = False) -> list[str]:
    """Return the escaped `name=value` members of a query or of a form; none when nothing is to be said.

    style  `form`, `spaceDelimited`, `pipeDelimited`, `deepObject`; another one counts as `form`
    """
    key = escaped(name)
    items, members = items_of(value), members_of(value)
    if items is None and members is None:
        return [] if value is None else [f"{key}={escaped(text_of(value), keeps_reserved=keeps_reserved)}"]
    if style == "deepObject":
        return [f"{path}={escaped(text, keeps_reserved=keeps_reserved)}" for path, text in _deep(key, value, 0)]
    if explode and style in _DELIMITERS:
        if items is not None:
            return [f"{key}={escaped(text_of(item), keeps_reserved=keeps_reserved)}" for item in items]
        return [
            f"{escaped(member)}={escaped(text_of(item), keeps_reserved=keeps_reserved)}"
            for member, item in (members or {}).items()
        ]
    flat = items if items is not None else [piece for pair in (members or {}).items() for piece in pair]
    delimiter = _DELIMITERS.get(style, ",")
    joined = delimiter.join(escaped(text_of(one), keeps_reserved=keeps_reserved) for one in flat)
    return [f"{key}={joined}"] if flat else []


def _deep(path: str, value: object, depth: int) -> list[tuple[str, str]]:
    """Return (escaped name, text) of every leaf: `a[b][c]`, and `a[b][0]` for the elements of an array.

    OpenAPI defines one level of objects only; further levels are as the libraries that read them (qs, Rack, PHP) agree.
    """
    if depth > MAX_NESTING:
        raise BadArgument(f"an argument is nested more than {MAX_NESTING} levels deep")
    items, members = items_of(value), members_of(value)
    if items is not None:
        named = [(str(index), item) for index, item in enumerate(items)]
    elif members is not None:
        named = list(members.items())
    else:
        return [(path, text_of(value))]
    return [leaf for key, item in named for leaf in _deep(f"{path}%5B{escaped(key)}%5D", item, depth + 1)]


def in_header(value: object, *, explode: bool) -> str:
    """Return a header's value in style `simple`, unescaped as headers are; empty when nothing is to be said."""
    items, members = items_of(value), members_of(value)
    if items is not None:
        return ",".join(text_of(item) for item in items)
    if members is None:
        return "" if value is None else text_of(value)
    joint = "=" if explode else ","
    return ",".join(f"{key}{joint}{text_of(item)}" for key, item in members.items())


def in_cookie(name: str, value: object, style: str, *, explode: bool) -> list[str]:
    """Return the `name=value` members of a `Cookie` header; none when nothing is to be said.

    style  `form` escapes its values; `cookie` (3.2) does not, and refuses what would end one
    """
    if style != "cookie":
        return in_query(name, value, "form", explode=explode)
    items, members = items_of(value), members_of(value)
    if items is None and members is None:
        pairs = [] if value is None else [(name, text_of(value))]
    elif explode:
        pairs = [(name, text_of(item)) for item in items] if items is not None else _texts(members or {})
    else:
        flat = items if items is not None else [piece for pair in (members or {}).items() for piece in pair]
        pairs = [(name, ",".join(text_of(one) for one in flat))] if flat else []
    for pair in pairs:
        if any(not 0x21 <= ord(character) <= 0x7E or character in ';"\\' for character in "".join(pair)):
            raise BadArgument(f"`{name}` holds a character that a cookie cannot carry")
    return ["=".join(pair) for pair in pairs]


def _texts(members: dict[str, object]) -> list[tuple[str, str]]:
    return [(key, text_of(item)) for key, item in members.items()]
