"""The project's own files, for the tests that hold its form."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

PACKAGES = ("agent_gateway", "mcp_registry", "context_mesh", "a2a/a2a_gateway", "policies/gateway_policies")

# Made by tools and never committed; `.gitignore` has them too.
MADE = frozenset(
    {
        ".bench",
        ".coverage",
        ".demo",
        ".envs",
        ".git",
        ".hypothesis",
        ".import_linter_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".venv",
        "__pycache__",
        "build",
        "data",
        "dist",
        "node_modules",
    }
)


def files(*folders: str, suffix: str = "") -> Iterator[Path]:
    """Yield the files under `folders` (the whole project when none is given), sorted, without what tools make."""
    for folder in folders or (".",):
        for path in sorted((ROOT / folder).rglob(f"*{suffix}")):
            if path.is_file() and MADE.isdisjoint(path.relative_to(ROOT).parts):
                yield path


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
