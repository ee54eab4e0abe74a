"""The bounded map."""

from gateway_policies.lru import Lru


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    lru: Lru[str, int] = Lru(2)
    lru.put("a", 1)
    lru.put("b", 2)
    assert lru.get("a") == 1
    lru.put("c", 3)
    assert (lru.get("a"), lru.get("b"), lru.get("c"), len(lru)) == (1, None, 3, 2)


def test_a_new_value_replaces_the_old_one() -> None:
    lru: Lru[str, int] = Lru(1)
    lru.put("a", 1)
    lru.put("a", 2)
    assert (lru.get("a"), len(lru)) == (2, 1)
