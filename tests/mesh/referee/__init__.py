"""Somebody else's judgement of our requests: mock servers that read the same descriptions. `make mesh-wire`."""
