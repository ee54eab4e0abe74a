"""What exists, and how MCP speaks: catalogue, names; `protocol` holds both eras of MCP as data.

Pure: nothing here touches network, disk, clock or randomness.
"""
