"""What kind of source a parsed file is."""

from typing import Literal

from context_mesh.discovery.proposal import items, members, text

Source = Literal["openapi", "api-catalog", "backstage", "kubernetes", "kong", "apim", "har", ""]


def recognise(values: list[object]) -> Source:
    """Return the kind of a file by the values in it (several for YAML with `---`); empty for anything else."""
    whole = members(values[0]) if values else members(None)
    if text(whole.get("openapi")) or text(whole.get("swagger")) or isinstance(whole.get("swagger"), int | float):
        return "openapi"
    if "linkset" in whole:
        return "api-catalog"
    if isinstance(members(whole.get("log")).get("entries"), list):
        return "har"
    if "_format_version" in whole or (items(whole.get("services")) and "_transform" in whole):
        return "kong"
    versions = [text(members(value).get("apiVersion")) for value in values]
    if any(version.startswith("backstage.io/") for version in versions):
        return "backstage"
    if any(version and members(value).get("kind") for version, value in zip(versions, values, strict=True)):
        return "kubernetes"
    held = members(whole.get("properties")) or whole
    if "openapi" in text(held.get("format")) and "value" in held:
        return "apim"
    return ""


def documents(body: bytes) -> list[bytes]:
    """Return the documents of a YAML file, split at its `---` lines; a JSON file is one."""
    parts: list[list[bytes]] = [[]]
    for line in body.splitlines(keepends=True):
        if line.rstrip() == b"---":
            parts.append([])
        else:
            parts[-1].append(line)
    return [joined for part in parts if (joined := b"".join(part)).strip()]
