"""A real MCP server with prompts, resources, templates and completions: `mcp_server_main` with another server in it."""

from mcp.server.mcpserver import MCPServer
from mcp_types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from support import mcp_server_main

server = MCPServer("sdk-catalog", version="4.5.6", instructions="read the notes first", log_level="ERROR")
TOPICS = ("cedar", "cedilla", "merkle")


@server.tool()
def count() -> int:
    """Count the topics."""
    return len(TOPICS)


@server.prompt(title="Review")
def review(topic: str, tone: str = "kind") -> str:
    """Ask for a review."""
    return f"Review {topic}, and be {tone}."


@server.resource("notes://index", mime_type="text/plain")
def index() -> str:
    """All topics."""
    return "\n".join(TOPICS)


@server.resource("notes://topic/{name}")
def topic(name: str) -> str:
    """One topic."""
    return f"All about {name}"


@server.completion()
async def completes(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: CompletionContext | None
) -> Completion:
    """Complete a topic, for either reference."""
    del context
    found = [one for one in TOPICS if one.startswith(argument.value)]
    return Completion(values=[*found, ref.type], total=len(found) + 1, has_more=False)


def main() -> None:
    mcp_server_main.server = server
    mcp_server_main.main()
