"""Another key for the audit log: announced in a record that the old one signs, and vouched for by both.

For each log a record says which key follows which, and the checkpoint over it is
signed by both. Whoever trusts either key can follow the log past that place:
from the old key on, for the record is signed by it; from the new key back, for
the checkpoint covers all that was before. Nobody may write meanwhile: the
caller holds every slot.

The order survives a crash at any point. The new key lies beside the old one
until every log has handed over, and no gateway starts meanwhile; a log that has
handed over is left as it is when the rotation is begun again.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from agent_gateway.audit import keys
from agent_gateway.audit.checkpoint import BadNote, Signer, open_note, parse_vkey
from agent_gateway.audit.log import encoded
from agent_gateway.audit.logfile import LogDamaged, LogFile
from agent_gateway.audit.records import key_change
from gateway_policies.refusal import Unavailable

KEY: Final = "audit.pem"
_NEXT: Final = "audit.next.pem"
_RETIRED: Final = "audit.retired"  # one public key a line, oldest first
MAX_RETIRED: Final = 64


def signer(folder: Path, origin: str) -> Signer:
    """Return the signer of a gateway's checkpoints; makes the key at first start.

    Raises `Unavailable` when it cannot be used, or a rotation was cut off: some logs await the next key by then.
    """
    if (folder / _NEXT).exists():
        hint = "run `agent-gateway audit rotate-key` once more"
        raise Unavailable("a change of the audit key was cut off", hint=hint)
    return _today(folder, origin)


def _today(folder: Path, origin: str) -> Signer:
    return Signer(origin, keys.signing_key(folder / KEY))


def retired(folder: Path) -> tuple[str, ...]:
    """Return the public keys that signed before, oldest first. Raises `Unavailable` for what is none."""
    try:
        lines = (folder / _RETIRED).read_text(encoding="utf-8").splitlines()
        return tuple(parse_vkey(line).vkey for line in lines)
    except FileNotFoundError:
        return ()
    except (OSError, BadNote, ValueError) as error:
        raise Unavailable(f"the audit key file `{_RETIRED}` cannot be used: {error}") from error


def vkeys(folder: Path, origin: str) -> list[str]:
    """Return every public key that checkpoints of this gateway may be signed by, the one of today first."""
    return [_today(folder, origin).verifier.vkey, *reversed(retired(folder))]


def rotate(folder: Path, origin: str, logs: Sequence[Path], clock: Callable[[], float], operator: str) -> Signer:
    """Sign with a new key from now on; return its signer.

    folder    where the keys are
    logs      every log of this gateway; nobody else has one open
    operator  who wants it, for the record

    Raises `Unavailable` when a key or a log cannot be used; to begin again is safe, and needed.
    """
    before = retired(folder)
    if len(before) >= MAX_RETIRED:
        raise Unavailable(f"{MAX_RETIRED} keys were retired already", hint="begin a new data directory")
    old, new = _today(folder, origin), Signer(origin, keys.signing_key(folder / _NEXT))
    for path in logs:
        try:
            _hand_over(path, old.for_log(path.stem), new.for_log(path.stem), (old, new), clock(), operator)
        except (LogDamaged, OSError, sqlite3.Error) as error:
            hint = "run `agent-gateway audit verify`, then this again"
            raise Unavailable(f"log `{path.stem}` cannot be handed over: {error}", hint=hint) from error
    keys.replace_text(folder / _RETIRED, "".join(f"{one}\n" for one in (*before, old.verifier.vkey)))
    os.replace(folder / _NEXT, folder / KEY)
    keys.sync_folder(folder)
    return new


def _hand_over(path: Path, old: Signer, new: Signer, pair: tuple[Signer, Signer], at: float, operator: str) -> None:
    with closing(LogFile.open(path, old)) as file:
        if file.note and _is_signed_by(file.note, new):
            return  # by a rotation that was cut off
        record = key_change(at, pair[0].verifier.vkey, pair[1].verifier.vkey, operator)
        file.write([encoded(record)], int(at * 1000))
        file.checkpoint(int(at * 1000), new)


def _is_signed_by(note: str, one: Signer) -> bool:
    try:
        open_note(note, [one.verifier])
    except BadNote:
        return False
    return True
