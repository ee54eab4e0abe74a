"""Real agents that the tests of this folder share; each speaks to whom the gateway lets through.

What must be shown of agents, and where it is: cards lead here alone (`test_cards`), bytes pass (`test_bytes`), one
operation is one decision and the matrix of versions (`test_one_decision`), owners (`test_owners`), streams that
break off (`test_streams`), push (`test_push`), signatures (`test_signatures`), chains (`test_chain`), money
(`test_money`); beside them the registry (`test_registry`) and skills as tools (`test_bridge`).
"""

from collections.abc import Iterator

import pytest

from support.agent_servers import AgentServer, start_agent


@pytest.fixture(scope="session")
def worker() -> Iterator[AgentServer]:
    """An agent of both versions."""
    with start_agent() as agent:
        yield agent


@pytest.fixture(scope="session")
def new_worker() -> Iterator[AgentServer]:
    """An agent that speaks 1.0 alone."""
    with start_agent("--versions", "1.0") as agent:
        yield agent


@pytest.fixture(scope="session")
def old_worker() -> Iterator[AgentServer]:
    """An agent that speaks 0.3 alone."""
    with start_agent("--versions", "0.3") as agent:
        yield agent
