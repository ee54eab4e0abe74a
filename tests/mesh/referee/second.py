"""A second opinion on the requests that went to the referee: openapi-core, which reads them in its own way.

It cannot read every description, nor label, matrix, exploded form objects, `+json` or escaped slashes; so its share is
told and nothing fails by it.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from context_mesh.wire.plan import Planned
from demos.environments import command

ENVIRONMENT: Final = "openapi-core"
TIMEOUT_S: Final = 240.0
MAIN: Final = Path(__file__).with_name("second_main.py")


def opinions(description: Mapping[str, Any], url: str, requests: Sequence[Planned]) -> list[str] | str:
    """Return the verdict on each request, empty where it is taken; a text when the description is not read."""
    given = {
        "description": {**description, "servers": [{"url": url}]},
        "url": url,
        "requests": [
            {"method": one.method, "url": one.url, "headers": list(one.headers), "body": one.body.hex()}
            for one in requests
        ],
    }
    try:
        done = subprocess.run(
            [*command(ENVIRONMENT, "python"), str(MAIN)],
            input=json.dumps(given, default=str), capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "it took too long"
    try:
        told = json.loads(done.stdout)
    except ValueError:
        return done.stderr[-200:]
    return told["verdicts"] if "verdicts" in told else str(told["refused"])
