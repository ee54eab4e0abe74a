"""An agent of Strands, which speaks 0.3, in an environment of its own: `strands_agent.py PORT`."""

import importlib
import sys
from collections.abc import AsyncGenerator
from typing import Any

# This program is checked where Strands is not installed: its names are looked up as it runs.
strands: Any = importlib.import_module("strands")
models: Any = importlib.import_module("strands.models.model")
multiagent: Any = importlib.import_module("strands.multiagent.a2a")


class Parrot(models.Model):
    """A model without a model."""

    def update_config(self, **model_config: Any) -> None:
        """Nothing can be set."""

    def get_config(self) -> dict[str, Any]:
        return {}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("nobody asks for it")

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[dict[str, Any], None]:
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"delta": {"text": "hello from strands"}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


if __name__ == "__main__":
    port = int(sys.argv[1])
    agent = strands.Agent(model=Parrot(), name="strands parrot", description="Says hello", callback_handler=None)
    multiagent.A2AServer(agent=agent, host="127.0.0.1", port=port).serve(log_level="error")
