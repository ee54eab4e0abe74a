"""Members of values that somebody wrote by hand: taken for what they must have meant, never an error."""

from typing import cast

JsonObject = dict[str, object]


def mapping(value: object) -> JsonObject:
    """Return an object as it is, anything else as an empty one."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def array(value: object) -> list[object]:
    """Return an array as it is, anything else as an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def text(value: object) -> str:
    """Return a text as it is, a number as written (`1.0`), anything else as an empty one."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return ""


def texts(value: object) -> tuple[str, ...]:
    """Return the texts of an array, or a single text as one; each once."""
    items = [value] if isinstance(value, str) else array(value)
    return tuple(dict.fromkeys(text(item) for item in items if text(item)))


def flag(value: object) -> bool:
    """Return true for true, and for the text that somebody quoted."""
    return value is True or (isinstance(value, str) and value.lower() == "true")
