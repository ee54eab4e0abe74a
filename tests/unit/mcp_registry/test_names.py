"""Public names: always fit for a model, always distinct, never moved by a stranger."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_registry.names import problem_with, public_names

natives = st.lists(
    st.text("abcABC01lio-_.é/", min_size=1, max_size=6) | st.text("ab", min_size=60, max_size=128), max_size=12
)
upstreams = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)


@pytest.mark.parametrize(
    ("upstream", "native", "public"),
    [
        ("git", "git_log", "git__git_log"),
        ("git", "Log-2", "git__Log-2"),
        ("a", "x" * 61, "a__" + "x" * 61),
        ("git", "a__b", "git__a__b"),
    ],
)
def test_a_plain_name_is_prefixed_and_nothing_more(upstream: str, native: str, public: str) -> None:
    assert public_names(upstream, [native]) == {native: public}


def test_a_name_that_does_not_fit_is_cut_and_gets_a_suffix_that_never_changes() -> None:
    assert public_names("git", ["log.all"])["log.all"] == "git__log_all_475fcd5f"
    assert public_names("a", ["x" * 62])["x" * 62] == "a__" + "x" * 52 + "_be54aba5"


def test_of_names_that_look_alike_the_plainest_stays() -> None:
    natives = ["Delete", "de1ete", "delete", "dele.te", "dele-te", "dele_te", "tail", "tall"]
    names = public_names("db", natives)
    for native in ("delete", "dele_te", "tail", "tall"):
        assert names[native] == f"db__{native}"
    for native in ("Delete", "de1ete", "dele.te", "dele-te"):
        assert re.fullmatch(r"db__[\w-]+_[0-9a-f]{8}", names[native])


def test_a_name_made_to_look_like_anothers_suffix_takes_nothing_from_it() -> None:
    crafted = public_names("git", ["log.all"])["log.all"].removeprefix("git__")
    names = public_names("git", ["log.all", crafted])
    assert names[crafted] == f"git__{crafted}"
    assert names["log.all"] == "git__log_all_475fcd5f2"


@settings(max_examples=150)
@given(upstream=upstreams, natives=natives)
def test_public_names_are_distinct_and_fit_for_a_model(upstream: str, natives: list[str]) -> None:
    names = public_names(upstream, natives)
    assert set(names) == set(natives)
    assert len(set(names.values())) == len(names)
    assert len({name.casefold() for name in names.values()}) == len(names)
    for name in names.values():
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
        assert name.startswith(f"{upstream}__")


@settings(max_examples=100)
@given(first=upstreams, second=upstreams, one=natives, two=natives)
def test_no_two_upstreams_ever_meet(first: str, second: str, one: list[str], two: list[str]) -> None:
    if first != second:
        assert set(public_names(first, one).values()).isdisjoint(public_names(second, two).values())


@settings(max_examples=50)
@given(upstream=upstreams, natives=natives)
def test_the_order_of_a_list_renames_nothing(upstream: str, natives: list[str]) -> None:
    assert public_names(upstream, natives) == public_names(upstream, natives[::-1])


@pytest.mark.parametrize("upstream", ["", "Git", "a_b", "-a", "a" * 33, "é", "a\n"])
def test_an_upstream_may_not_have_every_name(upstream: str) -> None:
    with pytest.raises(ValueError, match="is no name for an upstream"):
        public_names(upstream, [])


@pytest.mark.parametrize("native", ["a", "git_log", "Log.All", "x/y", "läuft", "名前", "x" * 128])
def test_a_visible_name_is_usable(native: str) -> None:
    assert problem_with(native) == ""


@pytest.mark.parametrize(
    ("native", "words"),
    [
        ("", "1 to 128 characters"),
        ("x" * 129, "1 to 128 characters"),
        ("ﬁle", "compatible form"),
        ("ｄelete", "compatible form"),
        ("e\u0301", "compatible form"),
        ("a b", "invisible"),
        ("a\n", "invisible"),
        ("a\x00", "invisible"),
        ("a\u200b", "invisible"),
        ("a\u202eb", "invisible"),
        ("a\U000e0041", "invisible"),
    ],
)
def test_a_name_that_hides_something_is_not_usable(native: str, words: str) -> None:
    assert words in problem_with(native)
