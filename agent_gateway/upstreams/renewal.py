"""A credential that the upstream refuses may be one that can be replaced: by whom, and how often."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from gateway_policies.refusal import UpstreamFailed

MAX_RENEWALS: Final = 2  # of one request: one credential, and one with more rights

T = TypeVar("T")


class CredentialRefused(UpstreamFailed):
    """The upstream does not accept the gateway's credential; nothing was run.

    status     401, 403 or 407
    challenge  its `WWW-Authenticate`, empty when it sent none
    """

    code = "upstream_unauthorized"

    def __init__(self, status: int, challenge: str = "") -> None:
        super().__init__(
            "the upstream does not accept the gateway's credential",
            hint="an operator can check the credential of this upstream",
        )
        self.status = status
        self.challenge = challenge


class Renewal(Protocol):
    """Where credentials of one upstream come from, when they can be replaced."""

    @property
    def generation(self) -> int:
        """Count the credentials so far: another number, another credential."""
        ...

    async def renew(self, refused: CredentialRefused, seen: int) -> bool:
        """Get another credential than the one of generation `seen`, which was refused; return whether there is one.

        Raises `UpstreamFailed` when only an operator can get one.
        """
        ...


async def renewing(renewal: Renewal | None, work: Callable[[], Awaitable[T]]) -> T:
    """Return what `work` does, done again with another credential when the first one is refused."""
    if renewal is None:
        return await work()
    for _ in range(MAX_RENEWALS):
        seen = renewal.generation
        try:
            return await work()
        except CredentialRefused as refused:
            if not await renewal.renew(refused, seen):
                raise
    return await work()
