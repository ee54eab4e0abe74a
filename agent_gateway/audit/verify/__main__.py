"""The command; see the package's docstring."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .check import verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="verify", description="Verify an audit log, a bundle or a receipt.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--vkey", action="append", required=True, help="the public key, `name+id+key`")
    parser.add_argument("--checkpoint", action="append", default=[], type=Path, help="a checkpoint kept elsewhere")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    options = parser.parse_args(arguments)
    try:
        kept = [path.read_text(encoding="utf-8") for path in options.checkpoint]
        report = verify(options.target, options.vkey, kept)
    except (OSError, ValueError) as error:
        print(f"cannot verify: {error}", file=sys.stderr)
        return 2
    summary = (
        f"{report.records} records in {report.logs} logs, {report.checkpoints} checkpoints,"
        f" {report.unanchored} records unanchored, {len(report.open)} calls open"
    )
    lines = [*map(str, report.findings), f"{'ok' if report.is_ok else 'NOT OK'}: {summary}"]
    print(json.dumps({"ok": report.is_ok, **asdict(report)}) if options.json else "\n".join(lines))
    return 0 if report.is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
