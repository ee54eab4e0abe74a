"""Stand for a forked program: `python -I -S prefork_run.py SOCKET PROGRAM [ARGUMENT ...]`; see `prefork`.

It must start in no time, so it imports next to nothing and knows the two messages by heart.
"""

import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(path: str, argv: list[str]) -> int:
    told = socket.socket(socket.AF_UNIX)
    told.connect(path)
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: told.send(bytes([number])))
    asked = json.dumps({"argv": argv, "env": dict(os.environ), "cwd": os.getcwd()}).encode()
    socket.send_fds(told, [len(asked).to_bytes(4, "big")], [0, 1, 2])
    told.sendall(asked)
    for number in (0, 1, 2):
        os.close(number)  # the program's ends are the only ones: who waits for an end of file gets it
    lines = b""
    while lines.count(b"\n") < 2 and (chunk := told.recv(64)):
        lines += chunk
    _, code, *_ = [*lines.split(b"\n"), b"", b""]
    if not code:
        return 70  # nobody serves any more
    if int(code) < 0:
        signal.signal(-int(code), signal.SIG_DFL) if -int(code) != signal.SIGKILL else None
        os.kill(os.getpid(), -int(code))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
