"""The headers that lead a client to its token."""

import pytest

from agent_gateway.identity.challenge import insufficient_scope, unauthorized
from gateway_policies.refusal import Unauthenticated

URL = "https://gw.example/.well-known/oauth-protected-resource/mcp"


def test_who_sent_nothing_is_told_where_to_go_and_no_error() -> None:
    refusal = Unauthenticated("no credential is given", code="missing_token")
    assert unauthorized(refusal, URL, ["mcp:call"]) == f'Bearer resource_metadata="{URL}", scope="mcp:call"'


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("expired_token", "invalid_token"),
        ("wrong_audience", "invalid_token"),
        ("revoked_token", "invalid_token"),
        ("token_in_query", "invalid_request"),
        ("ambiguous_token", "invalid_request"),
    ],
)
def test_who_sent_a_wrong_one_is_told_the_error(code: str, error: str) -> None:
    challenge = unauthorized(Unauthenticated("the token has expired", code=code), URL)
    assert challenge == (
        f'Bearer resource_metadata="{URL}", error="{error}", error_description="the token has expired"'
    )


def test_nothing_breaks_out_of_a_quoted_value() -> None:
    refusal = Unauthenticated('a "b\\\r\nSet-Cookie: x', code="invalid_token")
    assert unauthorized(refusal, URL).endswith("error_description=\"a 'b'''Set-Cookie: x\"")


def test_a_step_up_names_every_scope_at_once() -> None:
    assert insufficient_scope(URL, ["a", "b"]) == (
        f'Bearer error="insufficient_scope", scope="a b", resource_metadata="{URL}"'
    )
