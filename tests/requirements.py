"""What the gateway promises, as data: each promise has a test, or says why it has none yet.

A test claims a promise with `@pytest.mark.requirement("id")`; `test_requirements.py` holds both ways.
A gap is a debt in plain sight: take it out in the change that adds the test. The rows are in `promises/`.
"""

from collections.abc import Mapping
from typing import Final

from promises import agents, apis, core, mcp
from promises.requirement import Requirement

REQUIREMENTS: Final[Mapping[str, Requirement]] = core.PROMISES | mcp.PROMISES | agents.PROMISES | apis.PROMISES
