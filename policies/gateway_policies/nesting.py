"""How deeply the brackets of a JSON text are nested, told from its bytes alone."""

from typing import Final

_NEITHER_BRACKET_NOR_QUOTE: Final = bytes(sorted(set(range(256)) - set(b'[]{}"')))
_ONE_BRACKET: Final = bytes.maketrans(b"{}", b"[]")


def is_deeper(body: bytes, max_depth: int) -> bool:
    """Say whether more than `max_depth` arrays and objects are open at once in `body`, which is known to be JSON.

    Few brackets cannot nest deeply, and that is most bodies. Else strings are cut out, and the
    innermost pairs of brackets again and again: as often as the body is deep.
    """
    if body.count(b"[") + body.count(b"{") <= max_depth:
        return False
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = body.translate(_ONE_BRACKET, _NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"")
    if b'"' in brackets:  # a string that holds brackets
        brackets = b"".join(brackets.split(b'"')[::2])
    for _ in range(max_depth):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True
