"""What an upstream asks for is read as HTTP writes it, and bounded."""

import pytest

from agent_gateway.grants.challenge import MAX_HEADER_CHARS, MAX_SCOPES, Challenge, read_challenge, read_scope

URL = "https://up.test/.well-known/oauth-protected-resource/mcp"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Challenge()),
        ("Bearer", Challenge()),
        ('Basic realm="x"', Challenge()),
        (f'Bearer resource_metadata="{URL}", scope="a b"', Challenge(URL, ("a", "b"))),
        (f"bearer resource_metadata={URL},scope=a", Challenge(URL, ("a",))),
        (f'Basic realm="Bearer scope=no", Bearer scope="yes", resource_metadata="{URL}"', Challenge(URL, ("yes",))),
        ('Bearer scope="first", Bearer scope="second"', Challenge("", ("first",))),
        ('Bearer scope="a", DPoP scope="b"', Challenge("", ("a",))),
        ('Bearer error="insufficient_scope", scope="a\\" b"', Challenge("", ("b",), "insufficient_scope")),
        ('Bearer scope="a", scope="b"', Challenge("", ("a",))),
        ('Bearer scope="a a  b"', Challenge("", ("a", "b"))),
        ('Bearer scope="unterminated', Challenge()),
        ("Bearer " + "x" * MAX_HEADER_CHARS, Challenge()),
    ],
)
def test_the_first_bearer_challenge_is_read(header: str, expected: Challenge) -> None:
    assert read_challenge(header) == expected


def test_only_so_many_scopes_are_kept() -> None:
    assert len(read_scope(" ".join(f"s{number}" for number in range(500)))) == MAX_SCOPES
    assert read_scope("ok " + "x" * 129) == ("ok",)
