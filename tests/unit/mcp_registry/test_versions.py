"""Versions: the two eras share no version, and the newest of each is known by name."""

from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

from mcp_registry.protocol import versions


def test_every_known_version_belongs_to_one_era() -> None:
    assert versions.LEGACY_VERSIONS + versions.MODERN_VERSIONS == KNOWN_PROTOCOL_VERSIONS
    assert set(versions.LEGACY_VERSIONS).isdisjoint(versions.MODERN_VERSIONS)
    assert (versions.LATEST_LEGACY, versions.LATEST_MODERN) == ("2025-11-25", "2026-07-28")
