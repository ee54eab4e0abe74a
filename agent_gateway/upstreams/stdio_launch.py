"""Run a command that dies with its parent: `stdio_launch.py PARENT_PID COMMAND [ARG]...`.

Started as a script in an isolated interpreter, so it imports nothing of ours. On
Linux the kernel is asked to kill this process when the gateway dies, however it
dies; then the command takes its place. Elsewhere the end of stdin must do.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Replace this process by the command; exits with 127 when it cannot be run."""
    parent, command = int(argv[1]), argv[2:]
    if sys.platform == "linux":
        import ctypes  # only here: slow to import, and not everywhere

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel was asked
            sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell: the command is the operator's, word by word
    except OSError as error:
        sys.exit(f"cannot run the command: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv)
