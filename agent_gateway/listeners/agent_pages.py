"""Lists of one's tasks, page by page: how many are wanted, which, and where the next page begins."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from a2a_gateway.answers import state_of
from a2a_gateway.inbound import Inbound
from a2a_gateway.parts import invalid
from agent_gateway.runtime.gateway import Gateway
from agent_gateway.stores.task_store import Choice
from gateway_policies.principal import Principal
from gateway_policies.refusal import Refusal

PAGE = 50  # tasks of a page, unless the caller says otherwise
MAX_PAGE = 100
CURSOR_LIFE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Cursors:
    """Where pages begin, sealed to one caller and one list."""

    gateway: Gateway
    principal: Principal
    purpose: str

    def sealed(self, following: tuple[object, object]) -> str:
        """Return a token for the place that `following` means."""
        until = self.gateway.services.clock() + CURSOR_LIFE_S
        return self.gateway.sealer.seal(self.purpose, self.principal, json.dumps(following).encode(), until)

    def opened(self, parsed: Mapping[str, object]) -> tuple[object, object] | None:
        """Return where the caller's page begins, None for the beginning; raises `BadRequest`."""
        token = parsed.get("pageToken", "")
        if token == "":
            return None
        try:
            if not isinstance(token, str):
                raise invalid("`pageToken` must be a string")
            opened = self.gateway.sealer.open(self.purpose, self.principal, token, self.gateway.services.clock())
        except Refusal:
            raise invalid("this page token is not one of ours") from None
        first, second = json.loads(opened)
        return first, second


def typed(value: object) -> object:
    """Return a parameter of a query as the JSON that it stands for."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value == "true" if value in ("true", "false") else value


def page_size(request: Inbound) -> int:
    """Return how many tasks one page holds; raises `BadRequest`."""
    size = typed(request.parsed.get("pageSize", PAGE))
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_PAGE:
        raise invalid(f"`pageSize` must be from 1 to {MAX_PAGE}")
    return size


def choice_of(request: Inbound) -> Choice:
    """Return which tasks a list is about."""
    status = request.parsed.get("status", "")
    state = "" if status in ("", "TASK_STATE_UNSPECIFIED") else str(state_of(status))
    return Choice(context=request.parts.context_id, state=state)
