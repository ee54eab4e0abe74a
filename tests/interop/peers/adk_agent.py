"""An agent of Google's ADK, in an environment of its own: `adk_agent.py PORT`. It says the same whatever it hears."""

import importlib
import sys
from collections.abc import AsyncGenerator
from typing import Any

# This program is checked where ADK is not installed: its names are looked up as it runs.
agents: Any = importlib.import_module("google.adk.agents")
models: Any = importlib.import_module("google.adk.models")
types: Any = importlib.import_module("google.genai.types")
a2a: Any = importlib.import_module("google.adk.a2a.utils.agent_to_a2a")
uvicorn: Any = importlib.import_module("uvicorn")


class Parrot(models.BaseLlm):
    """A model without a model."""

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncGenerator[Any, None]:
        content = types.Content(role="model", parts=[types.Part(text="hello from adk")])
        yield models.LlmResponse(content=content, turn_complete=True)


if __name__ == "__main__":
    port = int(sys.argv[1])
    agent = agents.Agent(name="adk_parrot", description="Says hello", model=Parrot(model="parrot"))
    uvicorn.run(a2a.to_a2a(agent, host="127.0.0.1", port=port), host="127.0.0.1", port=port, log_level="error")
