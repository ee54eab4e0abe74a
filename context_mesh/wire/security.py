"""Security: which of an operation's alternatives the gateway can satisfy."""

from collections.abc import Container

from context_mesh.openapi.model import Operation, SecurityNeed


def chosen(operation: Operation, available: Container[str]) -> tuple[SecurityNeed, ...] | None:
    """Return the schemes that a call proves itself with, all of them needed; None when there is no way.

    available  names of the schemes that there is a credential for
    The first alternative whose schemes are all available is taken; calling without any only when the
    description allows it and no alternative is satisfied. () also when nothing is said about security.
    """
    if not operation.security:
        return ()
    for alternative in operation.security:
        if alternative and all(need.scheme.name in available for need in alternative):
            return alternative
    return () if any(not alternative for alternative in operation.security) else None
