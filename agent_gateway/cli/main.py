"""The command line: `agent-gateway COMMAND`. Each command, or group of commands, has its own file.

Exit codes: 0 done, 1 it did not work, 2 the command was used wrongly.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from agent_gateway.cli.commands import Lazy
from agent_gateway.cli.session import DEFAULT_CONFIG, Failure, Session, stderr
from agent_gateway.config.problems import ConfigErrors
from gateway_policies.refusal import Refusal

PROGRAM = "agent-gateway"

app = typer.Typer(
    name=PROGRAM,
    cls=Lazy,
    help="One governed endpoint between AI agents and everything they call.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit code. Failures are told, never traced."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        app(args=arguments, prog_name=PROGRAM)
    except ConfigErrors as error:
        _tell_problems(error, as_json="--json" in arguments)
        raise SystemExit(1) from None
    except Failure as failure:
        _tell(failure.message, failure.hint, as_json="--json" in arguments)
        raise SystemExit(failure.exit_code) from None
    except Refusal as refusal:
        _tell(refusal.message, refusal.hint, as_json="--json" in arguments)
        raise SystemExit(1) from None
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        _tell(f"{error.filename or 'the system'}: {os.strerror(error.errno or 0)}", "", as_json="--json" in arguments)
        raise SystemExit(1) from None


def _tell(message: str, hint: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"ok": False, "error": {"message": message, "hint": hint}}, indent=2) + "\n")
        return
    console = stderr()
    console.print(f"error: {message}", style="bold red")
    if hint:
        console.print(f"hint: {hint}")


def _tell_problems(error: ConfigErrors, *, as_json: bool) -> None:
    from agent_gateway.cli import check  # only who has problems waits for it

    check.report(check.Report(errors=error.errors, findings=error.findings), as_json=as_json)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            number = version("agent-gateway-server")
        except PackageNotFoundError:
            number = "not installed"
        sys.stdout.write(f"{PROGRAM} {number}\n")
        raise typer.Exit


@app.callback()
def _start(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="AGENT_GATEWAY_CONFIG", help="The configuration file.")
    ] = DEFAULT_CONFIG,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = Session(config)


if __name__ == "__main__":
    main()
