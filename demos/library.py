"""A small library for the demonstration, on the official SDK: a prompt, a resource, and a tool that asks a person.

The published servers of the demonstration offer none of these; the gateway starts this one like them.
"""

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel

server = MCPServer("library", version="1.0.0", log_level="ERROR")
SHELF = ("On the Origin of Species", "Relativity", "Silent Spring")


class Loan(BaseModel):
    """What the person at the desk is asked for."""

    name: str


def ask_name() -> Elicit[Loan]:
    return Elicit("In whose name?", Loan)


@server.tool()
async def borrow(title: str, loan: Annotated[Loan, Resolve(ask_name)]) -> str:
    """Lend a book to a person, who is asked for a name."""
    return f"`{title}` is lent to {loan.name}"


@server.prompt()
def review(title: str) -> str:
    """Ask for a review of a book."""
    return f"Review `{title}` in three sentences."


@server.resource("library://shelf", mime_type="text/plain")
def shelf() -> str:
    """Every book on the shelf."""
    return "\n".join(SHELF)


if __name__ == "__main__":
    server.run()
