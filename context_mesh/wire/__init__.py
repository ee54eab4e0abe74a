"""From an operation and a model's arguments to an HTTP request, and from the answer to a tool's result.

Pure: requests and responses are values here; sending them is left to whoever has a socket.
"""
