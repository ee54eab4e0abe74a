"""Files that commands write: whole or not at all, never readable by others unless they were."""

import os
import tempfile
from pathlib import Path
from typing import Final

from agent_gateway.cli.session import Failure

MAX_FILE_BYTES: Final = 4 * 1024 * 1024
MAX_BACKUPS: Final = 20
PRIVATE: Final = 0o600


def read_text(path: Path) -> str | None:
    """Return the text of a file, or None when there is none; raise `Failure` when it is not a text we take."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(content) > MAX_FILE_BYTES:
        raise Failure(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Failure(f"{path} is not UTF-8 text") from None


def write_private(path: Path, text: str, *, keeps_mode: bool = False) -> None:
    """Replace `path` by `text` in one step, readable by its owner only.

    keeps_mode  take over the permissions of the file that is there
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(path.stat().st_mode & 0o777 if keeps_mode else PRIVATE)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def backup(path: Path) -> Path:
    """Copy `path` to the first free name `{path}.bak`, `{path}.bak1`, …; raise `Failure` when all are taken."""
    content = path.read_bytes()
    for number in range(MAX_BACKUPS):
        copy = path.with_name(f"{path.name}.bak{number or ''}")
        try:
            handle = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        except FileExistsError:
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return copy
    raise Failure(f"there are {MAX_BACKUPS} backups of {path} already", hint="delete the ones you do not need")
