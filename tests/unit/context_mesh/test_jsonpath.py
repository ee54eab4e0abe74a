"""JSONPath: the queries of RFC 9535's own examples, filters with their functions, and what is refused."""

import pytest

from context_mesh.openapi.jsonpath import BadPath, select
from context_mesh.openapi.members import mapping

STORE: dict[str, object] = {
    "store": {
        "book": [
            {"category": "reference", "author": "Nigel Rees", "title": "Sayings", "price": 8.95},
            {"category": "fiction", "author": "Evelyn Waugh", "title": "Sword", "price": 12.99},
            {"category": "fiction", "author": "Melville", "title": "Moby Dick", "isbn": "0-553-21311-3", "price": 8.99},
            {"category": "fiction", "author": "Tolkien", "title": "Rings", "isbn": "0-395-19395-8", "price": 22.99},
        ],
        "bicycle": {"color": "red", "price": 399},
    }
}


def titles(query: str) -> list[object]:
    return [mapping(value).get("title", value) for _, value in select(query, STORE)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("$.store.book[*].author", ["Nigel Rees", "Evelyn Waugh", "Melville", "Tolkien"]),
        ("$..author", ["Nigel Rees", "Evelyn Waugh", "Melville", "Tolkien"]),
        ("$.store..price", [8.95, 12.99, 8.99, 22.99, 399]),
        ("$..book[2]", ["Moby Dick"]),
        ("$..book[-1]", ["Rings"]),
        ("$..book[9]", []),
        ("$..book[0,1]", ["Sayings", "Sword"]),
        ("$..book[:2]", ["Sayings", "Sword"]),
        ("$..book[1:4:2]", ["Sword", "Rings"]),
        ("$..book[::-1]", ["Rings", "Moby Dick", "Sword", "Sayings"]),
        ("$..book[::0]", []),
        ("$..book[?@.isbn]", ["Moby Dick", "Rings"]),
        ("$..book[?!@.isbn]", ["Sayings", "Sword"]),
        ("$..book[?@.price<10]", ["Sayings", "Moby Dick"]),
        ("$..book[?@.price <= 8.95 || @.price >= 22.99]", ["Sayings", "Rings"]),
        ("$..book[?@.price > 8.95 && (@.category == 'fiction') && @.author != \"Tolkien\"]", ["Sword", "Moby Dick"]),
        ("$..book[?@.category == $.store.book[0].category]", ["Sayings"]),
        ("$..book[?match(@.author, '.*n')]", ["Rings"]),
        ("$..book[?search(@.title, 'S.')]", ["Sayings", "Sword"]),
        ("$..book[?search(@.title, '(')]", []),
        ("$..book[?search(@.price, '8')]", []),
        ("$..book[?length(@.title) == 5]", ["Sword", "Rings"]),
        ("$..book[?length(@.price) == 5]", []),
        ("$..book[?count(@.*) == 5]", ["Moby Dick", "Rings"]),
        ("$..book[?count('a') == 1]", []),
        ("$..book[?value(@.title) == 'Rings']", ["Rings"]),
        ("$..book[?value('x') == 'x'][?@ == 5]", []),
        ("$..book[?@.price == true]", []),
        ("$..book[?@.author < 'F']", ["Sword"]),
        ("$..book[?@.author < 5]", []),
        ("$.store.bicycle['color', \"price\"]", ["red", 399]),
        ("$.store.bicycle[?@ == 'red']", ["red"]),
        ("$.store.bicycle[?@ != null]", ["red", 399]),
        ("$['store']['bicycle'].*", ["red", 399]),
        ("$.store.bicycle.nothing", []),
        ("$.store.bicycle[0]", []),
        ("$.store.book.nothing", []),
        ("$..['\\u0063olor']", ["red"]),
        ("$..['a\\tb']", []),
        ("$.store.bicycle.color[*]", []),
        ("$.store.bicycle[1:2]", []),
    ],
)
def test_a_query_selects(query: str, found: list[object]) -> None:
    assert titles(query) == found


def test_a_node_knows_its_path() -> None:
    assert select("$..isbn", STORE)[0][0] == ("store", "book", 2, "isbn")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "store",
        "$.",
        "$.store[",
        "$.store[]",
        "$.store['a'",
        "$.store.book[?@.price]x",
        "$.store.book[?(@.price]",
        "$.store.book[?@.price <]",
        "$.store.book[?'a']",
        "$.store.book[?length(@.a)]",
        "$.store.book[?length(@.a, @.b) == 1]",
        "$.store.book[?unknown(@.a)]",
        "$" + "[?@" * 40,
        "$[?" + "(" * 40,
        "$[?" + "length(" * 40,
        "$" + ".a" * 2000,
    ],
)
def test_what_is_no_query_is_refused(query: str) -> None:
    with pytest.raises(BadPath):
        select(query, STORE)


def test_a_query_that_selects_too_much_ends() -> None:
    with pytest.raises(BadPath, match="more than 400000 nodes"):
        select("$..*..*..*..*..*..*", [[[[[[0] * 8] * 8] * 8] * 8] * 8])
