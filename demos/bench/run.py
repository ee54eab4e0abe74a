"""Benchmark the gateway beside nginx, a plain Python proxy and the bare stub: `python demos/bench/run.py --help`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from demos.bench.command import main

    sys.exit(main(sys.argv[1:]))
