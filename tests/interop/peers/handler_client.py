"""`handler` as a client, in an environment of its own: `handler_client.py URL TOKEN`. Prints JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("handler")


def asked(url: str, token: str, *flags: str) -> str:
    """Send one message; return all that the agent said, or what kind of failure it was."""
    argv = [str(PROGRAM), "--output", "json", "message", "send", "--url", url, "--text", "say hello", *flags]
    if token:
        argv += ["--bearer-env", "PEER_TOKEN"]
    env = os.environ | {"PEER_TOKEN": token}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False, env=env)
    return done.stdout if done.returncode == 0 else f"error: exit code {done.returncode}"


def main(url: str, token: str) -> dict[str, Any]:
    return {"sent": asked(url, token), "streamed": asked(url, token, "--stream")}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
