"""Versions: declared once, patch ignored, nothing declared is 0.3."""

import pytest

from a2a_gateway.versions import negotiate
from gateway_policies.refusal import BadRequest


@pytest.mark.parametrize(
    ("header", "query", "version"),
    [
        (None, None, "0.3"), ("", None, "0.3"), (" ", "", "0.3"), ("0.3", None, "0.3"), ("0.3.0", None, "0.3"),
        ("1.0", None, "1.0"), ("1.0.7", None, "1.0"), (" 1.0 ", None, "1.0"), (None, "1.0", "1.0"),
        ("1.0", "1.0.1", "1.0"),
        ("1.0.0-rc.1", None, "1.0"),
    ],
)  # fmt: skip
@pytest.mark.requirement("a2a.version-negotiation")
def test_a_served_version(header: str | None, query: str | None, version: str) -> None:
    assert negotiate(header, query) == version


@pytest.mark.parametrize(
    "header",
    ["1", "1.1", "1.5", "2.0", "0.2.6", "v1.0", "1.0,0.3", "01.0", "1.00", "1.0.", "one", "1.0\n", "١.٠", "1e1"],
)
@pytest.mark.requirement("a2a.version-negotiation")
def test_every_other_version_is_refused(header: str) -> None:
    with pytest.raises(BadRequest) as caught:
        negotiate(header)
    assert caught.value.code == "version_not_supported"
    assert caught.value.details == {"supported": ["1.0", "0.3"]}


@pytest.mark.parametrize(("header", "query"), [("1.0", "0.3"), ("", "1.0"), ("1.0", "")])
def test_a_header_and_a_query_that_disagree_are_refused(header: str, query: str) -> None:
    with pytest.raises(BadRequest) as caught:
        negotiate(header, query)
    assert caught.value.code == "bad_request"
