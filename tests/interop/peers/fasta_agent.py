"""An agent of Pydantic AI over fasta2a, in an environment of its own: `fasta_agent.py PORT`."""

import importlib
import sys
from typing import Any

# This program is checked where Pydantic AI is not installed: its names are looked up as it runs.
pydantic_ai: Any = importlib.import_module("pydantic_ai")
testing: Any = importlib.import_module("pydantic_ai.models.test")
bridge: Any = importlib.import_module("fasta2a.pydantic_ai")
uvicorn: Any = importlib.import_module("uvicorn")


if __name__ == "__main__":
    port = int(sys.argv[1])
    agent = pydantic_ai.Agent(testing.TestModel(custom_output_text="hello from fasta2a"))
    app = bridge.agent_to_a2a(agent, name="fasta parrot", url=f"http://127.0.0.1:{port}")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
