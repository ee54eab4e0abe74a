"""Throttle: how often a client may fail before it has to wait.

Counts failures only, in memory, bounded. A client that knows its long secret is
never held up by someone who guesses at it; `token_service` sees to that.
"""

from collections import OrderedDict
from threading import Lock

from agent_gateway.ports import Clock

MAX_FAILURES = 10
WINDOW_S = 60.0
MAX_CLIENTS = 10_000


class Throttle:
    """Failures per client within a window that starts with the first of them."""

    def __init__(self, *, clock: Clock, max_failures: int = MAX_FAILURES, max_clients: int = MAX_CLIENTS) -> None:
        self._clock = clock
        self._max_failures = max_failures
        self._max_clients = max_clients
        self._lock = Lock()  # the token service runs in threads
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()  # client → (window start, failures)

    def wait_s(self, client: str) -> float:
        """Return the seconds for which `client` has to wait, 0 when it need not."""
        start, failures = self._failures.get(client, (0.0, 0))
        left = start + WINDOW_S - self._clock()
        return left if failures >= self._max_failures and left > 0 else 0.0

    def failed(self, client: str) -> None:
        """Count one failure; the client that failed longest ago is forgotten when there are too many."""
        now = self._clock()
        with self._lock:
            start, failures = self._failures.pop(client, (now, 0))
            if now - start >= WINDOW_S:
                start, failures = now, 0
            self._failures[client] = (start, failures + 1)
            if len(self._failures) > self._max_clients:
                self._failures.popitem(last=False)

    def passed(self, client: str) -> None:
        """Forget the failures of a client that has proved itself."""
        with self._lock:
            self._failures.pop(client, None)
