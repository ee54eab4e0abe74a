"""Phase 6: do the arguments fit the schema that was approved?"""

from agent_gateway.snapshot import Snapshot
from gateway_policies.decision import Permit
from gateway_policies.refusal import BadRequest

_MAX_MISTAKES = 5
_MAX_TEXT = 300


def guard(snapshot: Snapshot, permit: Permit) -> None:
    """Raise `BadRequest` (`invalid_arguments`) naming where the arguments break the tool's schema."""
    call = permit.call
    validator = snapshot.validators.get(call.capability.name) if call.capability.kind == "tool" else None
    if validator is None or validator.is_valid(call.arguments) or call.action != "call":
        return  # a request about a task has no arguments
    mistakes: list[str] = []
    for error in validator.iter_errors(call.arguments):
        where = "/".join(str(step) for step in error.instance_path)
        mistakes.append(f"/{where}: {error.message}"[:_MAX_TEXT])
        if len(mistakes) == _MAX_MISTAKES:
            break
    raise BadRequest(
        f"the arguments do not fit the schema of `{call.capability.name}`: {mistakes[0]}",
        code="invalid_arguments",
        hint="read the tool's inputSchema in the list",
        details={"mistakes": mistakes},
    )
