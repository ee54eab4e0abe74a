"""`agent-gateway schema`: the JSON Schema of the configuration file, for editors."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent_gateway.cli.session import JsonOption
from agent_gateway.config.schema import schema as config_schema


def schema_text() -> str:
    """Return the schema as it is shipped: indented, with a line end."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def schema(
    write: Annotated[Path | None, typer.Option("--write", help="Write it to this file instead.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the JSON Schema of the configuration file.

    Example: `agent-gateway schema --write gateway.schema.json`
    """
    if write is None:
        sys.stdout.write(schema_text())
        return
    write.write_text(schema_text(), encoding="utf-8")
    sys.stdout.write(json.dumps({"ok": True, "file": str(write)}) + "\n" if as_json else f"wrote {write}\n")
