"""Loading: one YAML file becomes a `Loaded`, or every mistake in it is named at once.

Reads the file, the policies and the secrets it names, once, and opens no socket. Compiling policies
and building anything from the configuration is the work of others.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from agent_gateway.config.document import MAX_BYTES, read_document
from agent_gateway.config.exposure import check_exposure
from agent_gateway.config.problems import ConfigErrors, Mark, Problem
from agent_gateway.config.reach import check_reach
from agent_gateway.config.reading import read_config
from agent_gateway.config.references import check_references
from agent_gateway.config.root import Config
from agent_gateway.config.secret import Secret, SecretUnavailable
from agent_gateway.config.texts import TextFile, read_key_sets, read_policies, secret_faults, walk_secrets


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that holds together, with the texts it names.

    findings  warnings, in file order
    policies  the Cedar files, in order; the starter policies are not among them, see `config.policies.starter`
    key_sets  the JWK sets of `private_key_jwt` credentials, by path as written
    digest    SHA-256 over everything read: equal digests mean that nothing changed
    """

    config: Config
    path: Path
    findings: tuple[Problem, ...]
    policies: tuple[TextFile, ...]
    key_sets: Mapping[str, str]
    digest: str
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def base_dir(self) -> Path:
        """Where relative paths start."""
        return self.path.parent

    @property
    def data_dir(self) -> Path:
        return self.base_dir / self.config.data_dir

    @property
    def watched(self) -> tuple[Path, ...]:
        """Files whose change may change the configuration, sorted."""
        secret_files = (secret.path(self.base_dir) for _, secret in walk_secrets(self.config))
        key_files = (self.base_dir / name for name in self.key_sets)
        texts = (self.base_dir / text.name for text in self.policies)
        named = (self.base_dir / file for name, one in self.config.upstreams.items() for file in one.files(name))
        return tuple(sorted({self.path, *texts, *key_files, *named, *(file for file in secret_files if file)}))

    def reveal(self, secret: Secret) -> str:
        """Return the value behind a reference; raise `SecretUnavailable` when there is none."""
        value = self.secrets.get(secret.reference)
        if value is None:
            raise SecretUnavailable(f"`{secret.reference}` was not there when the configuration was read")
        return value


def load(path: Path, *, environ: Mapping[str, str] | None = None, needs_secrets: bool = True) -> Loaded:
    """Read, validate and cross-check the configuration at `path`.

    environ        where `env:` references lead; default: this process's environment
    needs_secrets  a secret that is not there is an error; False makes it a warning, for checking
                   a file away from where it runs

    Raises `ConfigErrors` with every mistake in the file, each with line, column and key.
    """
    file = path.absolute()
    content = _read(file, str(path))
    document = read_document(str(path), content)
    reading = read_config(document)
    config, base = reading.config, file.parent
    policies, policy_faults = read_policies(config, base)
    key_sets, key_faults = read_key_sets(config, base)
    secrets, missing = _read_secrets(config, base, os.environ if environ is None else environ)
    faults = [
        *check_references(config),
        *check_exposure(config),
        *check_reach(config),
        *policy_faults,
        *key_faults,
        *secret_faults(config, base, missing, is_error=needs_secrets),
    ]
    faults = [*reading.faults, *(fault for fault in faults if reading.trusts(fault))]
    problems = sorted((document.locate(fault) for fault in faults), key=_place)
    findings = tuple(problem for problem in problems if problem.severity == "warning")
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise ConfigErrors(errors, findings)
    digest = _digest(content, policies, key_sets, {**secrets, **_read_named(config, base)})
    return Loaded(config, file, findings, policies, key_sets, digest, secrets)


def dump(config: Config) -> dict[str, Any]:
    """Return the configuration as JSON values that load again, defaults included; secrets stay references."""
    return config.model_dump(mode="json", exclude_none=True)


def _read(file: Path, shown: str) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "`agent-gateway init` writes one"
        raise ConfigErrors([_at_top(shown, "there is no such file", hint)]) from None
    except OSError as error:
        message = f"the file cannot be read: {os.strerror(error.errno or 0)}"
        raise ConfigErrors([_at_top(shown, message, "")]) from None


def _at_top(file: str, message: str, hint: str) -> Problem:
    mark = Mark()
    return Problem(file, mark.line, mark.column, "", message, hint)


def _place(problem: Problem) -> tuple[int, int, str, str]:
    return (problem.line, problem.column, problem.key, problem.message)


def _read_secrets(config: Config, base: Path, environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Values by reference, and what is wrong with the others."""
    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for _, secret in walk_secrets(config):
        try:
            found[secret.reference] = secret.read(base, environ)
        except SecretUnavailable as error:
            missing[secret.reference] = str(error)
    return found, missing


def _read_named(config: Config, base: Path) -> dict[str, str]:
    """Return a digest of each file that an upstream names; one that is not there counts as empty."""
    found: dict[str, str] = {}
    for name, upstream in config.upstreams.items():
        for file in upstream.files(name):
            try:
                found[f"{name} {file}"] = sha256((base / file).read_bytes()).hexdigest()
            except OSError:
                found[f"{name} {file}"] = ""
    return found


def _digest(
    content: bytes, policies: tuple[TextFile, ...], key_sets: Mapping[str, str], secrets: Mapping[str, str]
) -> str:
    parts = [
        content,
        *(part.encode() for text in policies for part in (text.name, text.text)),
        *(part.encode() for pair in sorted(key_sets.items()) for part in pair),
        *(part.encode() for pair in sorted(secrets.items()) for part in pair),
    ]
    return sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()
