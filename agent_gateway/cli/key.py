"""`agent-gateway key`: new API keys and secrets. They are shown once and stored nowhere."""

import secrets
import string
import sys
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final

import typer
from rich.console import Console

from agent_gateway.cli.session import Failure, JsonOption, emit

SECRET_BYTES: Final = 32
ID_LENGTH: Final = 12
MAX_INPUT: Final = 4096

_ALPHABET: Final = string.ascii_lowercase + string.digits

app = typer.Typer(help="Make API keys and secrets.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class NewKey:
    """An API key, `agw_{id}_{secret}`, and what the configuration keeps of it."""

    text: str
    id: str

    @property
    def sha256(self) -> str:
        return sha256(self.text.encode()).hexdigest()


def new_key() -> NewKey:
    """Make an API key of 256 random bits."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))
    return NewKey(f"agw_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}", key_id)


def new_secret() -> str:
    """Make a client secret of 256 random bits: 43 characters that need no quoting."""
    return secrets.token_urlsafe(SECRET_BYTES)


@app.command("new")
def new(as_json: JsonOption = False) -> None:
    """Make an API key: the key for the agent, and the entry for the configuration."""
    key = new_key()
    entry = {"kind": "api_key", "id": key.id, "sha256": key.sha256}

    def write(console: Console) -> None:
        console.print(key.text)
        console.print("\nGive the agent the line above; it is not shown again. Under its `credentials`, add:")
        console.print(f"  - {{kind: api_key, id: {key.id!r}, sha256: {key.sha256!r}}}")

    emit({"key": key.text, "credential": entry}, as_json=as_json, text=write)


@app.command("secret")
def secret(as_json: JsonOption = False) -> None:
    """Make a client secret, to keep in a file or variable that the configuration names."""
    text = new_secret()
    emit({"secret": text}, as_json=as_json, text=lambda console: console.print(text))


@app.command("hash")
def hash_key(
    as_json: JsonOption = False,
    force: Annotated[bool, typer.Option("--force", help="Take a text that is not an `agw_` key.")] = False,
) -> None:
    """Print the SHA-256 of an API key read from standard input."""
    text = sys.stdin.readline(MAX_INPUT).strip()
    parts = text.split("_", 2)
    if not force and (len(parts) != 3 or parts[0] != "agw" or len(parts[1]) != ID_LENGTH):
        raise Failure("this is not an API key of ours", hint="a key is `agw_`, 12 characters, `_` and 43 characters")
    digest = sha256(text.encode()).hexdigest()
    emit({"sha256": digest}, as_json=as_json, text=lambda console: console.print(digest))
