"""The command line's reference, made from the commands themselves: `python tests/support/cli_reference.py` writes it.

Run it from the repository with the packages on the path; `test_readme.py` fails when it was forgotten.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import typer.main

from agent_gateway.cli.main import PROGRAM, app

README = Path(__file__).parents[2] / "agent_gateway" / "cli" / "README.md"
BEGIN, END = "<!-- reference: made from the commands -->", "<!-- end of reference -->"


def reference() -> str:
    """Return every command with its arguments, options and help, as Markdown."""
    return "\n".join(_section(name, command) for name, command in _commands(typer.main.get_command(app), ""))


def commands() -> list[str]:
    """Return the name of every command, `audit tail` for one in a group."""
    return [name for name, _ in _commands(typer.main.get_command(app), "")]


def with_reference(text: str) -> str:
    """Return a README with its reference made new."""
    pattern = re.escape(BEGIN) + ".*" + re.escape(END)
    return re.sub(pattern, lambda _: f"{BEGIN}\n{reference()}{END}", text, flags=re.DOTALL)


def _commands(command: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, one in cast("dict[str, Any]", command.commands).items():
        full = f"{prefix} {name}".strip()
        if hasattr(one, "commands"):
            yield from _commands(one, full)
        else:
            yield full, one


def _section(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([PROGRAM, name, *(_argument(one) for one in arguments)])
    told = [" ".join(part.split()) for part in str(command.help).split("\n\n")]
    lines = [f"### `{usage}`", "", *"\n\n".join(told).split("\n"), ""]
    lines += [f"- `{one.metavar or one.name.upper()}`: {one.help}" for one in arguments]
    lines += [f"- `{_flags(one)}`: {one.help}" for one in command.params if one.param_type_name == "option"]
    return "\n".join(lines).rstrip() + "\n"


def _argument(argument: Any) -> str:
    word = str(argument.metavar or argument.name).upper().strip("[]")
    many = "..." if argument.nargs == -1 else ""
    return f"{word}{many}" if argument.required else f"[{word}{many}]"


def _flags(option: Any) -> str:
    names = ", ".join(option.opts)
    return names if option.is_flag else f"{names} {str(option.metavar or option.name).upper()}"


if __name__ == "__main__":
    README.write_text(with_reference(README.read_text(encoding="utf-8")), encoding="utf-8")
