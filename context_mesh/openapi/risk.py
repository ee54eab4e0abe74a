"""Risk: what a call may do, from what HTTP says of its method and from what its name says.

HTTP's promise is no proof: an API that deletes by GET is graded by its name, upwards only. A POST that
reads like a query is graded as one that writes; that it reads is a guess which a person confirms.
"""

import re
from typing import Final

from context_mesh.openapi.model import Operation
from context_mesh.openapi.naming import snake
from context_mesh.openapi.tool import Annotations, Risk

_DESTROYS: Final = re.compile(
    r"(?:^|_)(?:delete|destroy|remove|purge|drop|erase|wipe|revoke|terminate|kill|uninstall|truncate|archive|"
    r"disable|deactivate|unpublish|reset|expire|cancel|void|ban|kick)(?:_|$)"
)
_SURELY_DESTROYS: Final = re.compile(
    r"(?:^|_)(?:delete|destroy|remove|purge|erase|wipe|revoke|terminate|kill|uninstall|truncate)(?:_|$)"
)
_WRITES: Final = re.compile(
    r"(?:^|_)(?:create|update|set|add|write|send|post|put|insert|edit|modify|rename|move|start|stop|restart|run|execute|"
    r"trigger|approve|reject|invite|join|leave|close|open|lock|unlock|mark|publish|upload|import|rotate|renew)(?:_|$)"
)
_CREATES: Final = re.compile(
    r"(?:^|_)(?:create|add|new|register|upload|invite|insert|import|submit|send|post|generate|append|comment|issue|start)"
    r"(?:_|$)"
)
_READS: Final = re.compile(
    r"(?:^|_)(?:get|list|search|query|find|lookup|count|read|fetch|check|validate|verify|preview|estimate|calculate|"
    r"describe|suggest|autocomplete|match|compare|export|explain|inspect|retrieve|batch_get|introspect)(?:_|$)"
)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})


def grade(operation: Operation) -> tuple[Risk, Annotations]:
    """Return our grade and MCP's hints for an operation."""
    name = snake(operation.operation_id) or snake(operation.path)
    if operation.method in _SAFE:
        return _grade_safe(operation, name)
    if operation.method == "DELETE":
        return Risk.DESTROY, Annotations(is_read_only=False, is_destructive=True, is_idempotent=True)
    if operation.method == "PUT":
        return Risk.WRITE, Annotations(is_read_only=False, is_destructive=True, is_idempotent=True)
    if operation.hints.is_read_only:
        return Risk.READ, Annotations(is_read_only=True, is_destructive=False, is_idempotent=True, is_guess=True)
    if _DESTROYS.search(name):
        return Risk.DESTROY, Annotations(is_read_only=False, is_destructive=True, is_idempotent=False)
    if operation.method == "POST" and _READS.search(name) and not _WRITES.search(name):
        return Risk.WRITE, Annotations(is_read_only=False, is_destructive=True, is_idempotent=False, is_guess=True)
    creates = operation.method == "POST" and _is_create(operation, name)
    return (
        Risk.CREATE if creates else Risk.WRITE,
        Annotations(is_read_only=False, is_destructive=not creates, is_idempotent=False),
    )


def _grade_safe(operation: Operation, name: str) -> tuple[Risk, Annotations]:
    """Return the grade of a method that promises to change nothing, unless the name takes the promise back."""
    first = name.partition("_")[0]
    last_segment = snake(operation.path.rstrip("/").rpartition("/")[2])
    if any(_SURELY_DESTROYS.search(text) for text in (first, last_segment)):
        return Risk.DESTROY, Annotations(is_read_only=False, is_destructive=True, is_idempotent=False, is_guess=True)
    if _WRITES.search(first) and operation.method not in ("OPTIONS", "TRACE"):
        return Risk.WRITE, Annotations(is_read_only=False, is_destructive=True, is_idempotent=False, is_guess=True)
    return Risk.READ, Annotations(is_read_only=True, is_destructive=False, is_idempotent=True)


def _is_create(operation: Operation, name: str) -> bool:
    if _CREATES.search(name):
        return True
    return any(response.status == "201" for response in operation.responses)
