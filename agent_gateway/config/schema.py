"""The JSON Schema of the configuration file, for editors, for the docs and for finding the key that was meant."""

from functools import cache
from typing import Any, Final, cast

from agent_gateway.config.root import Config

SCHEMA_ID: Final = "https://agent-gateway.example/schema/gateway-1.json"


@cache
def schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) with a description on every key. Do not change it."""
    body = Config.model_json_schema(mode="validation")
    _drop_titles(body)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Agent Gateway configuration",
        **body,
    }


def _drop_titles(spot: object) -> None:
    """Take out the titles that pydantic makes of names: editors show the descriptions."""
    if isinstance(spot, dict):
        node = cast("dict[str, object]", spot)
        if isinstance(node.get("title"), str):
            del node["title"]
        for child in node.values():
            _drop_titles(child)
    elif isinstance(spot, list):
        for child in cast("list[object]", spot):
            _drop_titles(child)
