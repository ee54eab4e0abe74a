"""MCP as data, in both eras: bytes to messages and back, and one era in the words of the other."""
