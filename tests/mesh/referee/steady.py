"""Steady, a mock server of another maker: started on a description, it refuses requests that break it."""

import contextlib
import json
import subprocess
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2

from demos.environments import EnvironmentFailed, directory
from support.running import free_ports

ENVIRONMENT: Final = "steady"
START_TIMEOUT_S: Final = 60.0


class CannotReadIt(Exception):
    """Steady does not take the description; its own words."""


def binary() -> Path:
    """Return the native program: its npm wrapper would leave the server behind when it is killed."""
    found = sorted((directory(ENVIRONMENT) / "node_modules" / "@stdy").glob("cli-*/bin/steady"))
    if not found:
        raise EnvironmentFailed("Steady has no program for this platform")
    return found[0]


@contextlib.contextmanager
def steady(folder: Path, description: Mapping[str, Any]) -> Generator[str]:
    """Serve a mock of a description (3.0 or 3.1) that is one file; yield its URL."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    path = folder / "openapi.json"
    path.write_text(json.dumps({**description, "servers": [{"url": url}]}, default=str))
    words = [str(binary()), "-p", str(port), "--host", "127.0.0.1", "--no-color", "-q", str(path)]
    log = folder / "steady.log"
    with log.open("w") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            _wait(process, url, log)
            yield url
        finally:
            process.kill()
            process.wait(10)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise CannotReadIt(log.read_text(errors="replace")[-400:])
        with contextlib.suppress(httpx2.HTTPError):
            httpx2.get(f"{url}/_x-steady/health", timeout=1.0, trust_env=False)
            return
        time.sleep(0.05)
    raise CannotReadIt("it did not start in time")
