"""`agent-gateway init`: a directory with a configuration that runs, its policies and its secrets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from agent_gateway.cli.files import PRIVATE, write_private
from agent_gateway.cli.key import new_secret
from agent_gateway.cli.schema import schema_text
from agent_gateway.cli.session import Failure, JsonOption, emit
from agent_gateway.cli.starter import GATEWAY_YAML, GITIGNORE, POLICIES

PRIVATE_DIRECTORY: Final = 0o700
READABLE: Final = 0o644


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to write; a secret one is for its owner only."""

    name: str
    text: str
    is_secret: bool = False


def starter_files() -> tuple[NewFile, ...]:
    """Return the files of a new directory; the secrets are new each time."""
    return (
        NewFile("secrets/first-agent.secret", new_secret() + "\n", is_secret=True),
        NewFile("secrets/operator.secret", new_secret() + "\n", is_secret=True),
        NewFile("policies/main.cedar", POLICIES),
        NewFile("gateway.schema.json", schema_text()),
        NewFile("gateway.yaml", GATEWAY_YAML),
        NewFile(".gitignore", GITIGNORE),
    )


def init(
    directory: Annotated[Path, typer.Argument(help="Where to write. Default: here.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace gateway.yaml and policies; secrets stay.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a commented gateway.yaml with starter policies and fresh secrets.

    Example: `agent-gateway init my-gateway`
    """
    written = write_files(directory, starter_files(), replaces=force)
    data: dict[str, object] = {"ok": True, "directory": str(directory), "files": written}
    lines = [*(f"wrote {directory / name}" for name in written), "", "next: agent-gateway check"]
    emit(data, as_json=as_json, text=lambda console: console.print("\n".join(lines)))


def write_files(directory: Path, files: tuple[NewFile, ...], *, replaces: bool) -> list[str]:
    """Write the files and return the names of those written.

    A secret or a `.gitignore` that is there is always kept. Raises `Failure`, before anything is
    written, when another file is there and `replaces` is False.
    """
    present = [file.name for file in files if (directory / file.name).exists()]
    kept = {file.name for file in files if file.is_secret or file.name == ".gitignore"}
    in_the_way = [name for name in present if name not in kept]
    if in_the_way and not replaces:
        hint = "choose another directory, or `--force` to replace them"
        raise Failure(f"already there: {', '.join(str(directory / name) for name in in_the_way)}", hint=hint)
    written: list[str] = []
    for file in files:
        if file.name in present and file.name in kept:
            continue
        path = directory / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, file.text)
        path.chmod(PRIVATE if file.is_secret else READABLE)
        if file.is_secret:
            path.parent.chmod(PRIVATE_DIRECTORY)
        written.append(file.name)
    return written
