"""An answer that repeats a credential."""

import pytest

from context_mesh.wire.plan import Secret
from context_mesh.wire.read import Answer, Shape, read
from context_mesh.wire.secrecy import without

KEY = Secret("query", "api_key", "k3y/with+odd=chars")
TOKEN = Secret("header", "authorization", "Bearer t0ken-of-ours")
URL = "https://api.example.com/v1/items?page=1&api_key=k3y%2Fwith%2Bodd%3Dchars"


def test_a_redirect_that_repeats_the_query_tells_no_key() -> None:
    answer = Answer(301, {"location": "/v1/items/?page=1&api_key=k3y%2Fwith%2Bodd%3Dchars"}, b"", URL)
    told = str(read(without(answer, [KEY]), Shape()).result())
    assert "/v1/items/?page=1&api_key=[secret]" in told
    assert "k3y" not in told


def test_the_next_page_is_told_without_the_key() -> None:
    link = '<https://api.example.com/v1/items?page=2&api_key=k3y%2Fwith%2Bodd%3Dchars>; rel="next"'
    answer = Answer(200, {"link": link, "content-type": "application/json"}, b"[1]", URL)
    told = str(read(without(answer, [KEY]), Shape()).result())
    assert 'next page: {"page":"2"}' in told


@pytest.mark.parametrize("status", [200, 401])
def test_an_echo_tells_no_token(status: int) -> None:
    body = b'{"detail": "Bearer t0ken-of-ours was seen, and t0ken-of-ours"}'
    answer = without(Answer(status, {"content-type": "application/json"}, body), [TOKEN])
    assert answer.body == b'{"detail": "[secret] was seen, and [secret]"}'


def test_without_a_secret_worth_the_name_an_answer_is_as_it_came() -> None:
    answer = Answer(200, {}, b"xyz", URL)
    assert without(answer, [Secret("header", "x-key", "xyz")]) is answer
