"""The tool server of the hand-off: what things cost. On the official SDK, over stdio."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("prices", version="1", log_level="ERROR")
PRICES = {"tea": "4 crowns", "a boat": "90 000 crowns"}


@server.tool()
async def price(item: str) -> str:
    """Say what an item costs."""
    return f"{item}: {PRICES.get(item, 'nobody knows')}"


if __name__ == "__main__":
    server.run("stdio")
