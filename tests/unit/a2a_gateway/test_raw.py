"""Raw JSON: what is not looked at is not changed."""

from a2a_gateway import raw


def test_members_and_elements_are_kept_byte_for_byte() -> None:
    assert bytes(raw.members(b'{"a": [1.0 , 2e3]}')["a"]) == b"[1.0 , 2e3]"
    assert [bytes(one) for one in raw.elements(b'[ {"a":1.00}, 12345678901234567890]')] == [
        b'{"a":1.00}', b"12345678901234567890"
    ]  # fmt: skip


def test_an_edit_keeps_the_order_and_makes_a_new_object() -> None:
    before = raw.members(b'{"a":1,"b":2,"c":3}')
    after = raw.edit(before, {"b": None, "a": raw.write("x"), "d": raw.write([True])})
    assert bytes(raw.write(after)) == b'{"a":"x","c":3,"d":[true]}'
    assert list(before) == ["a", "b", "c"]
    assert raw.parse(raw.write(after)) == {"a": "x", "c": 3, "d": [True]}
