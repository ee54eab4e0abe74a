"""Load: one closed-loop run against one URL, by wrk when it is installed, else by the bundled generator."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from demos.bench import machine

GRACE_S = 30.0
SCRIPT = Path(__file__).with_name("load_client.py")
RESULT = re.compile(r"^RESULT (\{.*\})$", re.MULTILINE)
LUA = """wrk.method = "POST"
wrk.body = {body}
{headers}
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"failures":%d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status + e.connect + e.read + e.write + e.timeout))
end
"""

Generator = Literal["wrk", "bundled"]


class LoadFailed(Exception):
    """The generator itself did not work; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class Result:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failures: int

    @property
    def rps(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """What to load: every request is a POST of `body` with `headers`."""

    url: str
    headers: Mapping[str, str]
    body: str


def generator() -> Generator:
    """Return which generator this machine offers; wrk costs the load core least."""
    return "wrk" if shutil.which("wrk") else "bundled"


def drive(
    target: Target, connections: int, seconds: float, *, by: Generator, core: int | None, scratch: Path
) -> Result:
    """Load `target` for `seconds` on `core` and return the figures; raise `LoadFailed`.

    scratch  a private directory: the wrk script written there holds the bearer token
    """
    if by == "wrk":
        whole = max(1, round(seconds))  # wrk counts in whole seconds
        script = scratch / "wrk.lua"
        script.touch(mode=0o600)
        script.write_text(lua(target), encoding="utf-8")
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "10s", "-s", str(script), target.url]
        out = _run(argv, "", whole, core)
        found = RESULT.search(out)
        if found is None:
            raise LoadFailed(f"wrk gave no result: {out[-300:]}")
        return parse(found[1])
    asked = {
        "url": target.url,
        "headers": dict(target.headers),
        "body": target.body,
        "connections": connections,
        "seconds": seconds,
    }
    return parse(_run([sys.executable, str(SCRIPT)], json.dumps(asked), seconds, core))


def parse(text: str) -> Result:
    """Return the figures in a generator's JSON."""
    figures = cast(dict[str, float], json.loads(text))
    return Result(
        requests=int(figures["requests"]),
        seconds=figures["seconds"],
        p50_ms=figures["p50_ms"],
        p99_ms=figures["p99_ms"],
        failures=int(figures["failures"]),
    )


def lua(target: Target) -> str:
    """Return the wrk script for `target`."""
    headers = "\n".join(f"wrk.headers[{_lua_text(name)}] = {_lua_text(text)}" for name, text in target.headers.items())
    return LUA.format(body=_lua_text(target.body), headers=headers)


def _lua_text(text: str) -> str:
    """Return a Lua literal: every byte that is not plain is written as a decimal escape."""
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}" for byte in text.encode())
    return '"' + "".join(plain) + '"'


def _run(argv: list[str], stdin: str, seconds: float, core: int | None) -> str:
    with machine.started_on(core):
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    try:
        out, err = process.communicate(stdin, timeout=seconds + GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise LoadFailed(f"{Path(argv[0]).name} did not end") from None
    if process.returncode != 0:
        raise LoadFailed(f"{Path(argv[0]).name} ended with code {process.returncode}: {err[-300:]}")
    return out
