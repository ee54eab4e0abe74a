"""Show the gateway in front of real servers, or keep it up: `python demos/demo.py --help`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from demos.command import main

    sys.exit(main(sys.argv[1:]))
