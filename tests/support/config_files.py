"""A small configuration that loads, and ways to change it."""

from pathlib import Path

from agent_gateway.config.load import Loaded, load
from agent_gateway.config.problems import ConfigErrors, Problem

MINIMAL = """\
version: 1
tenants:
  acme: {teams: {research: {}, platform: {}}}
agents:
  planner:
    tenant: acme
    teams: [research]
    owner: ana@acme.example
    credentials: [{kind: client_secret, secret: "env:PLANNER_SECRET"}]
upstreams:
  time: {command: [mcp-server-time], tools: {"*": {risk: 1, read_only: true, price_micros: 100}}}
policies: {files: [main.cedar]}
"""

ENVIRON = {"PLANNER_SECRET": "correct horse battery staple"}


def write_config(directory: Path, text: str = MINIMAL) -> Path:
    """Write a configuration and the policy file it may name; return its path."""
    (directory / "main.cedar").write_text("permit (principal, action, resource);\n")
    path = directory / "gateway.yaml"
    path.write_text(text)
    return path


def load_text(directory: Path, text: str = MINIMAL, **environ: str) -> Loaded:
    return load(write_config(directory, text), environ={**ENVIRON, **environ})


def errors_of(directory: Path, text: str) -> tuple[Problem, ...]:
    """The mistakes of a configuration, or none when it loads."""
    try:
        load_text(directory, text)
    except ConfigErrors as error:
        return error.errors
    return ()


def findings_of(directory: Path, text: str) -> tuple[str, ...]:
    """The warnings of a configuration that loads: `key: message`."""
    return tuple(f"{finding.key}: {finding.message}" for finding in load_text(directory, text).findings)
