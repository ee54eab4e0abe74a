"""Watching over several worker processes that share the listening sockets.

Every worker serves every listener. A worker that dies is started again with a
growing pause; signals go to all of them. The gateway's state is each worker's
own (audit log, leases) or durable (ledger, keys); what belongs to one worker and
reaches another goes between them by themselves (`siblings`).
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence

from prometheus_client import multiprocess

from agent_gateway.runtime.siblings import RUN_DIR
from agent_gateway.telemetry.logs import log

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STEADY_AFTER_S = 60.0
_WARNING, _INFO = 30, 20


class Supervisor:
    """Keeps `count` workers alive until told to stop."""

    def __init__(self, command: Sequence[str], sockets: Sequence[socket.socket], count: int) -> None:
        self._command = tuple(command)
        self._fds = tuple(sock.fileno() for sock in sockets)
        self._count = count
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._signal_all, signal.SIGHUP)
        with (
            tempfile.TemporaryDirectory(prefix="agent-gateway-metrics-") as metrics_dir,
            tempfile.TemporaryDirectory(prefix="agent-gateway-run-") as run_dir,
        ):
            env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": metrics_dir, RUN_DIR: run_dir}
            keepers = [asyncio.ensure_future(self._keep(index, env)) for index in range(self._count)]
            await self._stop.wait()
            self._signal_all(signal.SIGTERM)
            await asyncio.gather(*keepers)
        return 0

    def _signal_all(self, number: signal.Signals) -> None:
        for child in list(self._children.values()):
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)

    async def _keep(self, index: int, env: Mapping[str, str]) -> None:
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            began = loop.time()
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._command,
                pass_fds=self._fds,
                env=env,
            )
            self._children[index] = child
            if self._stop.is_set():
                child.send_signal(signal.SIGTERM)
            code = await child.wait()
            multiprocess.mark_process_dead(child.pid, env["PROMETHEUS_MULTIPROC_DIR"])  # pyright: ignore[reportUnknownMemberType]
            if self._stop.is_set():
                return
            pause_s = _FIRST_PAUSE_S if loop.time() - began > _STEADY_AFTER_S else min(pause_s * 2, _LONGEST_PAUSE_S)
            log(_WARNING, "worker ended; starting another", worker=index, code=code, pause_s=pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stop.wait()
