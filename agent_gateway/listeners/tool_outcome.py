"""Whether a tool says that it failed: its answer came, and is an error all the same."""

import re

import msgspec
from msgspec import Raw


class _Outcome(msgspec.Struct):
    isError: object = False  # noqa: N815 - the wire's word


_IS_ERROR = re.compile(rb'"isError"\s*:\s*true')
_OUTCOME = msgspec.json.Decoder(_Outcome)


def is_tool_error(result: Raw) -> bool:
    """Say whether a raw `tools/call` result has `isError: true`."""
    if _IS_ERROR.search(bytes(result)) is None:
        return False
    try:
        return _OUTCOME.decode(result).isError is True
    except msgspec.DecodeError:
        return False
