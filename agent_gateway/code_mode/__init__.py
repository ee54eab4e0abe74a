"""Code that composes calls: run in a sandbox of its own process, call by call through the gateway."""
