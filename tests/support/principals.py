"""Principals for tests."""

from gateway_policies.principal import Principal

ALICE = Principal("agent", "alice", "acme", issuer="test", client_id="alice")
BOB = Principal("agent", "bob", "acme", issuer="test", client_id="bob")
EVE = Principal("agent", "eve", "other", issuer="test", client_id="eve")
