"""The schema of policies."""

from pathlib import Path

import cedarpy

from gateway_policies.vocabulary import schema_json, schema_text
from gateway_policies.world import ArgumentKind

BUNDLES = Path(__file__).parents[3] / "policies" / "bundles"


def test_the_shipped_vocabulary_is_the_generated_one() -> None:
    assert (BUNDLES / "gateway.cedarschema").read_text(encoding="utf-8") == schema_text({})


def test_arguments_are_optional_members_of_any_name() -> None:
    kinds: dict[tuple[str, ...], ArgumentKind] = {
        ("o",): "Record",
        ("o", "in ner"): "Long",
        ("s",): "String",
        ("l",): "Set<String>",
        ("b",): "Bool",
    }
    text = schema_text(kinds)
    for line in ("o?: {", '"in ner"?: Long', "s?: String", "l?: Set<String>", "b?: Bool"):
        assert line in text
    cedarpy.Schema.from_str(text)


def test_equal_kinds_give_equal_text() -> None:
    assert schema_json({("a",): "Long", ("b",): "Bool"}) == schema_json({("b",): "Bool", ("a",): "Long"})
