"""The command: `demos/demo.py` plays the demonstration, `--up` keeps its gateway running."""

import argparse
import asyncio
import contextlib
import fcntl
import shutil
import signal
import sys
from collections.abc import Coroutine, Generator, Sequence
from pathlib import Path

from demos import environments, keep_up, proof
from demos.acts import play, scene
from demos.environments import EnvironmentFailed
from demos.processes import DidNotStart
from demos.stage import ENVIRONMENTS, PROJECT, CannotStage, Ports, Stage, free_ports, set_stage, shown
from demos.story import Story, Surprise

FOLDER = PROJECT / ".demo"
LIMIT_S = 180.0  # environments aside
INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit code: 0 all claims held, or `--up` was ended; 1 not; 130 interrupted."""
    parser = argparse.ArgumentParser(prog="demos/demo.py", description=__doc__)
    parser.add_argument("--up", action="store_true", help="serve the same configuration until Ctrl-C")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write; default: .demo")
    parser.add_argument("--port", type=int, default=keep_up.PORT, help="with --up: agents' port; the admin's is next")
    options = parser.parse_args(argv)
    folder = options.folder.absolute() / ("up" if options.up else "tour")
    try:
        with alone(folder):
            environments.ensure(ENVIRONMENTS, say=lambda line: print(line, flush=True))
            acting = keep_up.serve(folder, options.port) if options.up else _tour(folder)
            return asyncio.run(_until_signalled(acting))
    except (CannotStage, DidNotStart, EnvironmentFailed, Surprise) as failure:
        print(f"\nfailed: {failure}", file=sys.stderr)
    except TimeoutError:
        print(f"\nfailed: something took too long; logs are in {folder}", file=sys.stderr)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\ninterrupted; nothing is left running", file=sys.stderr)
        return 0 if options.up else INTERRUPTED
    return 1


async def _tour(folder: Path) -> int:
    story = Story()
    for old in ("data", "workbooks", "repository"):
        shutil.rmtree(folder / old, ignore_errors=True)
    data, admin, excel, tap = free_ports(4)
    stage = Stage(folder, Ports(data, admin, excel, tap))
    set_stage(stage)
    story.step("A gateway in front of three real servers")
    story.show((f"agent-gateway --config {shown(stage.config)} up", "mcp-server-time, mcp-server-git: over stdio"))
    async with asyncio.timeout(LIMIT_S):
        async with scene(story, stage) as on_stage:
            story.show(on_stage.gateway.last_words())
            story.check("it is up", holds=on_stage.gateway.process.returncode is None)
            await play(on_stage)
            await proof.play(on_stage)
    story.end()
    story.say(f"\nAll of it is in {shown(folder)}. To keep the same gateway up and connect your own client: make up")
    return 0


async def _until_signalled(acting: Coroutine[object, object, int]) -> int:
    """Run to the end, or until Ctrl-C or SIGTERM; what was started is ended either way."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(acting)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    return await task


@contextlib.contextmanager
def alone(folder: Path) -> Generator[None]:
    """Hold the folder for one run; raises `CannotStage` when another one holds it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStage(f"another run uses {shown(folder)}; end it, or choose another `--folder`") from None
        yield
