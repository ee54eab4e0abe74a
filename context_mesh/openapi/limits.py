"""Limits of an import, each with its name, so that a hostile description costs bounded time and memory."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one description may hold. The defaults let the largest public ones through.

    max_bytes        of all files together
    max_files        of a description in many files
    max_depth        arrays and objects open at once
    max_nodes        arrays, objects and values, with every YAML alias counted as often as it is used
    max_aliased      values that YAML aliases add to those that are written
    max_anchors      YAML anchors in one file
    max_operations   beyond it, operations are named and left out
    max_definitions  schemas that one tool's schema may reach; references beyond it become `{}`
    max_variants     definitions of one description, beyond which dynamic references mean what stands nearest
    max_findings     kept in the report; beyond it, the last one says how many more there were
    """

    max_bytes: int = 64 * 1024 * 1024
    max_files: int = 5_000
    max_depth: int = 128
    max_nodes: int = 8_000_000
    max_aliased: int = 500_000
    max_anchors: int = 20_000
    max_operations: int = 25_000
    max_definitions: int = 2_000
    max_variants: int = 100_000
    max_findings: int = 100_000
