"""Texts: the files a configuration names besides itself: policies, key sets, secrets."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from pydantic import BaseModel

from agent_gateway.config.identities import PrivateKeyJwt
from agent_gateway.config.problems import Fault
from agent_gateway.config.problems import Path as KeyPath
from agent_gateway.config.root import Config
from agent_gateway.config.secret import Secret
from agent_gateway.config.upstream_a2a import A2aUpstream

MAX_TEXT_BYTES: Final = 1024 * 1024
MAX_POLICY_FILES: Final = 1000


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text file; `name` is its path as messages show it, relative to the configuration where it can be."""

    name: str
    text: str


class _Unreadable(Exception):
    """The file does not hold a text we take."""


def read_policies(config: Config, base: Path) -> tuple[tuple[TextFile, ...], list[Fault]]:
    """Return the policy files in order, each once, and what is wrong with the list."""
    found: dict[str, TextFile] = {}
    faults: list[Fault] = []
    for at, pattern in enumerate(config.policies.files):
        here: KeyPath = ("policies", "files", at)
        for path in _matches(base, pattern):
            name = _shown(base, path)
            try:
                found.setdefault(name, TextFile(name, _read_text(path)))
            except _Unreadable as error:
                faults.append(Fault(here, f"`{name}` {error}"))
        if not _matches(base, pattern):
            severity = "warning" if _is_pattern(pattern) else "error"
            faults.append(Fault(here, f"`{pattern}` matches no file", "paths start at this file", severity))
    if len(found) > MAX_POLICY_FILES:
        faults.append(Fault(("policies", "files"), f"more than {MAX_POLICY_FILES} policy files"))
    return tuple(found.values()), faults


def read_key_sets(config: Config, base: Path) -> tuple[dict[str, str], list[Fault]]:
    """Return the JWK sets that agents' credentials and cards name, by path as written, and what is wrong with them."""
    found: dict[str, str] = {}
    faults: list[Fault] = []
    for name, upstream in config.upstreams.items():
        path = upstream.card_keys_path if isinstance(upstream, A2aUpstream) else None
        if path is not None:
            try:
                found[path] = _read_text(base / path)
            except _Unreadable as error:
                faults.append(Fault(("upstreams", name, "card_keys"), f"`{path}` {error}"))
    for name, agent in config.agents.items():
        for at, credential in enumerate(agent.credentials):
            if not isinstance(credential, PrivateKeyJwt):
                continue
            try:
                found[credential.jwks_path] = _read_text(base / credential.jwks_path)
            except _Unreadable as error:
                here: KeyPath = ("agents", name, "credentials", at, "jwks")
                faults.append(Fault(here, f"`{credential.jwks_path}` {error}"))
    return found, faults


def walk_secrets(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Secret]]:
    """Yield every secret reference in a configuration with its place."""
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, member in value:
            yield from walk_secrets(member, (*path, name))
    elif isinstance(value, dict):
        for name, member in cast("dict[str, object]", value).items():
            yield from walk_secrets(member, (*path, name))
    elif isinstance(value, tuple):
        for at, member in enumerate(cast("tuple[object, ...]", value)):
            yield from walk_secrets(member, (*path, at))


def secret_faults(config: Config, base: Path, missing: Mapping[str, str], *, is_error: bool) -> Iterator[Fault]:
    """Yield a fault for each use of a secret that is not there, and a warning for each file others can read."""
    for path, secret in walk_secrets(config):
        if secret.reference in missing:
            yield Fault(path, missing[secret.reference], severity="error" if is_error else "warning")
            continue
        file = secret.path(base)
        if file is not None and _others_can_read(file):
            hint = f"`chmod 600 {secret.name}`"
            yield Fault(path, f"`{secret.reference}` can be read by others", hint, severity="warning")


def _others_can_read(path: Path) -> bool:
    try:
        return path.stat().st_mode & 0o077 != 0
    except OSError:
        return False


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def _matches(base: Path, pattern: str) -> list[Path]:
    """Files a path or pattern means, sorted; a directory is not a file."""
    path = Path(pattern)
    if not _is_pattern(pattern):
        return [base / path] if (base / path).is_file() else []
    root, relative = (Path(path.anchor), path.relative_to(path.anchor)) if path.is_absolute() else (base, path)
    return sorted(found for found in root.glob(str(relative)) if found.is_file())


def _shown(base: Path, path: Path) -> str:
    try:
        return path.relative_to(base).as_posix()
    except ValueError:
        return path.as_posix()


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise _Unreadable(f"cannot be read: {os.strerror(error.errno or 0)}") from None
    if len(content) > MAX_TEXT_BYTES:
        raise _Unreadable(f"is larger than {MAX_TEXT_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _Unreadable("is not UTF-8 text") from None
