"""Tool search: words of identifiers and of people meet, and nobody finds what does not count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context_mesh.search.index import Entry, Hit, Index, Vectors, fused
from context_mesh.search.words import MAX_TERMS, stem, terms

TOOLS = (
    Entry("list_pulls", {"name": "pulls/listPullRequests", "path": "/repos/{owner}/pulls", "text": "Lists them."}),
    Entry("merge_pull", {"name": "mergePullRequest", "path": "/repos/{owner}/pulls/{n}/merge"}),
    Entry("create_issue", {"name": "issues_create", "title": "Create an issue", "group": "issues"}),
    Entry("remove_label", {"name": "DELETELabelFromIssue", "path": "/labels/{name}"}),
    Entry("movie_credits", {"name": "GET_movie-movie_id-credits", "text": "Cast and crew of a movie"}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("list the pull requests", "list_pulls"), ("merging a pull request", "merge_pull"),
        ("open a new issue", "create_issue"),
        ("delete a label", "remove_label"), ("who is in the cast of this movie", "movie_credits"),
        ("LABELS", "remove_label"), ("remove labels", "remove_label"),
    ],
)  # fmt: skip
def test_a_question_finds_its_tool(query: str, best: str) -> None:
    assert Index(TOOLS).find(query, 3)[0].key == best


def test_words_of_identifiers_are_taken_apart() -> None:
    assert terms("listPullRequests list_pull-requests LISTPullRequests") == ["list", "pull", "request"] * 3
    assert terms("HTTPServer2Go") == ["http", "serv", "2", "go"]
    assert terms("the of API") == []
    assert terms("日本 größe") == ["日本", "gr", "öß", "e"]
    assert len(terms("word " * 5000)) == MAX_TERMS


@pytest.mark.parametrize(
    ("words", "common"),
    [
        (("repositories", "repository"), "repository"), (("classes", "class"), "class"), (("boxes", "box"), "box"),
        (("running", "run"), "run"), (("stopped", "stop"), "stop"),
        (("creating", "created", "creates", "create"), "creat"),
        (("status",), "status"), (("analysis",), "analysis"), (("matches", "match"), "match"), (("sing",), "sing"),
        (("users", "user"), "user"), (("bed",), "bed"), (("string",), "string"), (("xyzing",), "xyz"),
    ],
)  # fmt: skip
def test_forms_of_a_word_are_one_term(words: tuple[str, ...], common: str) -> None:
    assert {stem(word) for word in words} == {common}


@pytest.mark.requirement("mesh.search-knows-its-caller")
def test_what_does_not_count_is_not_found_and_changes_nothing() -> None:
    index = Index(TOOLS)
    every = index.find("pull request", 5)
    assert [hit.key for hit in every] == ["list_pulls", "merge_pull"]
    assert [hit.key for hit in index.find("pull request", 5, {"merge_pull", "create_issue"})] == ["merge_pull"]
    assert index.find("pull request", 5, set[str]()) == []
    assert index.find("pull request", 1) == every[:1]


def test_nothing_is_found_for_nothing() -> None:
    assert Index(TOOLS).find("", 5) == Index(TOOLS).find("zebra", 5) == Index(()).find("x", 5) == []
    assert len(Index(TOOLS)) == 5


def test_common_words_order_and_do_not_find() -> None:
    many = [
        Entry(f"t{number}", {"name": f"alpha beta gamma delta{'Omega' if number == 7 else ''}"})
        for number in range(300)
    ]
    index = Index(many)
    assert index.find("alpha beta gamma delta omega", 1)[0].key == "t7"
    assert [hit.key for hit in index.find("delta", 2)] == ["t0", "t1"]


@given(st.text(max_size=80))
def test_any_query_is_fine(query: str) -> None:
    assert all(hit.score > 0 for hit in Index(TOOLS).find(query, 10))


def test_rankings_are_fused_by_rank() -> None:
    one, other = [Hit("a", 9), Hit("b", 8)], [Hit("b", 0.5), Hit("c", 0.4)]
    assert [hit.key for hit in fused([one, other], 3)] == ["b", "a", "c"]
    assert [hit.key for hit in fused([one, other], 1)] == ["b"]


def test_vectors_find_the_nearest() -> None:
    vectors = Vectors({one.key: (1.0, 0.0) if "pull" in one.text.lower() else (0.0, 1.0) for one in TOOLS})
    assert {hit.key for hit in vectors.find((1.0, 0.0), 2)} == {"list_pulls", "merge_pull"}
    assert [hit.key for hit in vectors.find((0.0, 1.0), 1, {"merge_pull", "create_issue"})] == ["create_issue"]
    assert vectors.find((1.0,), 5) == []


@pytest.mark.requirement("mesh.search-knows-its-caller")
def test_what_a_caller_may_not_see_changes_nothing_of_what_it_finds() -> None:
    seen = [Entry(f"pets__{name}", {"name": name, "text": text, "source": "pets"}) for name, text in (
        ("list_pets", "Lists all pets"), ("get_pet", "Gets one pet by its id"), ("feed_pet", "Feeds a hungry pet"),
    )]  # fmt: skip
    hidden = [
        Entry(f"vault__{number}", {"name": f"pet_secret_{number}", "text": "hungry pet " * 20, "source": "vault"})
        for number in range(300)
    ]
    among = frozenset(entry.key for entry in seen)
    alone, crowded = Index(seen), Index([*hidden, *seen])
    for query in ("list pets", "hungry", "feed the pet by id", "secret"):
        assert crowded.find(query, 10, among) == alone.find(query, 10)
        assert alone.find(query, 10, among) == alone.find(query, 10)
