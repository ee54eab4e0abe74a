"""How the gateway runs. Start reading at `agent_gateway.pipeline.run`."""

VERSION = "0.1.0"  # the distribution's too; a test holds them together
