"""What `up` says once the gateway serves."""

import json
import os
import sys
from collections.abc import Mapping

from agent_gateway.config.load import Loaded


def say_json(loaded: Loaded, facts: Mapping[str, object]) -> None:
    """Tell a program, in one line on standard output, that the gateway serves."""
    listeners = loaded.config.listeners
    urls = {"endpoint": f"{listeners.data.url}/mcp", "admin": listeners.admin.url}
    sys.stdout.write(json.dumps({"ready": True, "pid": os.getpid(), **urls, **facts}) + "\n")
    sys.stdout.flush()


def greet(loaded: Loaded, workers: int) -> None:
    listeners = loaded.config.listeners
    plural = "s" if workers > 1 else ""
    say(f"agent gateway: {listeners.data.url}/mcp  (admin {listeners.admin.url}, {workers} worker{plural})")


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
