"""A worker process of a supervised gateway: `runtime.child FILE DATA_FD ADMIN_FD WORKERS PARENT_PID`."""

import ctypes
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvloop

from agent_gateway.config.load import load
from agent_gateway.config.problems import ConfigErrors
from agent_gateway.runtime.provision import BadConfiguration
from agent_gateway.runtime.worker import serve
from agent_gateway.telemetry.logs import log, set_up
from gateway_policies.refusal import Unavailable

_PR_SET_PDEATHSIG = 1


def _end_with_parent(parent: int) -> None:
    """Have the kernel end this process when its supervisor dies, however that dies. Linux only."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit(1)


def main(file: str, data_fd: str, admin_fd: str, workers: str, parent: str) -> int:
    """Serve on inherited sockets until told to stop; return the exit code."""
    path = Path(file)
    _end_with_parent(int(parent))
    try:
        telemetry = load(path).config.telemetry
        set_up(telemetry.logs, telemetry.level)
        data_socket, admin_socket = (socket.socket(fileno=int(fd)) for fd in (data_fd, admin_fd))
        uvloop.run(serve(path, data_socket, admin_socket, lambda _: None, int(workers)))
    except (ConfigErrors, BadConfiguration, Unavailable) as error:
        log(logging.ERROR, "the worker cannot serve", why=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
