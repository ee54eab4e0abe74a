"""Fixtures shared by every test: the event loop, and nothing else."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
