"""Tool arguments on the command line: `--arg name=value`, or one JSON object."""

from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer

from agent_gateway.cli.session import Failure
from gateway_policies import strict_json
from gateway_policies.refusal import Refusal

ArgOption = Annotated[
    list[str] | None,
    typer.Option("--arg", help="One argument, `name=value`. Numbers, true, false, null, lists and objects are JSON."),
]
ArgsOption = Annotated[str, typer.Option("--args", help="All arguments as one JSON object.")]

_PLAIN = ("true", "false", "null")


def read_arguments(pairs: Sequence[str] | None, text: str) -> dict[str, Any] | None:
    """Return the arguments, None when none are given; raises `Failure`.

    pairs  `name=value` each; a value in double quotes is text whatever it looks like
    text   a JSON object, or empty
    """
    if not pairs and not text:
        return None
    found: dict[str, Any] = _object(text) if text else {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Failure(f"`--arg {pair}` is not `name=value`", exit_code=2)
        if name in found:
            raise Failure(f"the argument `{name}` is given twice", exit_code=2)
        found[name] = _value(value)
    return found


def _object(text: str) -> dict[str, Any]:
    try:
        value = strict_json.parse(text.encode(), max_depth=64)
    except Refusal as refusal:
        raise Failure(f"`--args` is not JSON: {refusal.message}", exit_code=2) from None
    if not isinstance(value, dict):
        raise Failure("`--args` must be a JSON object", hint="""such as '{"path": "README.md"}'""", exit_code=2)
    return cast("dict[str, Any]", value)


def _value(text: str) -> object:
    """Return JSON when the text is plainly meant as such, else the text itself."""
    if text in _PLAIN or text[:1] in tuple('-0123456789"[{'):
        try:
            return strict_json.parse(text.encode(), max_depth=64)
        except Refusal:
            return text
    return text
