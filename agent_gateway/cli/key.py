"""`agent-gateway key`: new API keys and secrets. They are shown once and stored nowhere."""

import secrets
import sys
from hashlib import sha256
from typing import Annotated, Final

import typer
from rich.console import Console

from agent_gateway.cli.session import Failure, JsonOption, emit
from agent_gateway.identity.api_keys import id_of, new_api_key

SECRET_BYTES: Final = 32
MAX_INPUT: Final = 4096

app = typer.Typer(help="Make API keys and secrets.", no_args_is_help=True)


def new_secret() -> str:
    """Make a client secret of 256 random bits: 43 characters that need no quoting."""
    return secrets.token_urlsafe(SECRET_BYTES)


@app.command("new")
def new(as_json: JsonOption = False) -> None:
    """Make an API key: the key for the agent, and the entry for the configuration.

    Example: `agent-gateway key new`
    """
    key, stored = new_api_key()
    entry = {"kind": "api_key", "id": stored.id, "sha256": stored.sha256}

    def write(console: Console) -> None:
        console.print(key)
        console.print("\nGive the agent the line above; it is not shown again. Under its `credentials`, add:")
        console.print(f"  - {{kind: api_key, id: {stored.id!r}, sha256: {stored.sha256!r}}}")

    emit({"key": key, "credential": entry}, as_json=as_json, text=write)


@app.command("secret")
def secret(as_json: JsonOption = False) -> None:
    """Make a client secret, to keep in a file or variable that the configuration names.

    Example: `agent-gateway key secret --json`
    """
    text = new_secret()
    emit({"secret": text}, as_json=as_json, text=lambda console: console.print(text))


@app.command("hash")
def hash_key(
    as_json: JsonOption = False,
    force: Annotated[bool, typer.Option("--force", help="Take a text that is not an `agw_` key.")] = False,
) -> None:
    """Print the SHA-256 of an API key read from standard input.

    Example: `agent-gateway key hash < key.txt`
    """
    text = sys.stdin.readline(MAX_INPUT).strip()
    if not force and id_of(text) is None:
        raise Failure("this is not an API key of ours", hint="a key is `agw_`, 12 characters, `_` and 43 characters")
    digest = sha256(text.encode()).hexdigest()
    emit({"sha256": digest}, as_json=as_json, text=lambda console: console.print(digest))
