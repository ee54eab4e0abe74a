"""The audit log's keys on disk: made at first start, readable by their owner only.

Making one is atomic: of several workers that start together one wins and the
others read what it wrote. What replaces a key is `rotation`.
"""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway_policies.refusal import Unavailable

SECRET_BYTES = 32
MAX_KEY_FILE_BYTES = 4_096


def signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 key in the PEM file at `path`; make it when there is none.

    Raises `Unavailable` when others may read the file, or it holds something else.
    """
    fresh = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        key = load_pem_private_key(_read_or_make(path, fresh), password=None)
    except ValueError as error:
        raise _unusable(path, "it holds no private key in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "it holds a key, but not an Ed25519 one")
    return key


def sealing_secret(path: Path) -> bytes:
    """Return the 32 secret bytes at `path`; make them when there are none. Raises like `signing_key`."""
    secret = _read_or_make(path, secrets.token_bytes(SECRET_BYTES))
    if len(secret) != SECRET_BYTES:
        raise _unusable(path, f"it does not hold {SECRET_BYTES} bytes")
    return secret


def _read_or_make(path: Path, fresh: bytes) -> bytes:
    try:
        with suppress(FileNotFoundError):
            return _read(path)
        _make(path, fresh)
        return _read(path)
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
            raise _unusable(path, "others than its owner may read it (chmod 600)")
        return file.read(MAX_KEY_FILE_BYTES)


def _make(path: Path, content: bytes) -> None:
    """Write a new file that appears whole or not at all, and never over another."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _draft(path, content) as draft, suppress(FileExistsError):
        os.link(draft, path)
    sync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Write a file whole, durably, in place of what is there; raises `OSError`."""
    with _draft(path, text.encode()) as draft:
        draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def _draft(path: Path, content: bytes) -> Generator[Path]:
    """Write `content` beside `path`, durably, for its owner only; what the block leaves of it goes."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable; raises `OSError`."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unusable(path: Path, why: str) -> Unavailable:
    return Unavailable(f"the audit key file `{path.name}` cannot be used: {why}")
