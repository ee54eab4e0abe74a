"""The wire table: every call of it becomes exactly the bytes that the specifications want."""

import pytest

from context_mesh.wire.address import Site
from context_mesh.wire.plan import Placing, plan
from support.wire_table import BASE, WIRES, Wire

SITE = Site(BASE, {"https://upload.example.com/upload": "https://upload.example.com/upload"}, {"zone": "upload"})


@pytest.mark.requirement("mesh.wire-table")
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_call_is_these_bytes(wire: Wire) -> None:
    planned = plan(wire.operation, wire.values, Placing(SITE, wire.arguments), wire.secrets)
    assert (planned.method, planned.url) == (wire.operation.method, wire.url)
    assert dict(planned.headers) == {"accept": wire.accept, **wire.headers}
    assert planned.body == wire.body


def test_the_table_has_all_its_cases() -> None:
    assert len(WIRES) == len({wire.name for wire in WIRES}) == 74
