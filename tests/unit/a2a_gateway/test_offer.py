"""The card that is served: it leads nowhere but to the gateway, and clients of both versions read it right."""

import json
from typing import Any

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.compat.v0_3 import types as old_types

from a2a_gateway.cards import Shape, read
from a2a_gateway.offer import Offer, bearer, etag, is_current, oauth2, shape_for, write
from a2a_gateway.operations import Dialect
from support.card_samples import DUAL, NEW, OLD

URL = "https://gw.example/a2a/researcher"
DIALECTS = (
    Dialect("1.0", "JSONRPC"),
    Dialect("1.0", "HTTP+JSON"),
    Dialect("0.3", "JSONRPC"),
    Dialect("0.3", "HTTP+JSON"),
)
SCHEME = oauth2(
    "gateway",
    token_url="https://gw.example/oauth/token",
    metadata_url="https://gw.example/.well-known/oauth-authorization-server",
    scopes={"a2a": "call agents"},
)
HIDDEN = ("http://10.1.2.3:8080/", "http://researcher.internal:9999/.well-known/agent-card.json")


def offer(shape: Shape = "1.0", **changes: Any) -> Offer:
    return Offer(URL, DIALECTS, SCHEME, shape=shape, hidden=HIDDEN, **changes)


@pytest.mark.requirement("a2a.card-leads-here")
@pytest.mark.parametrize("raw", [NEW, OLD, DUAL], ids=["new", "old", "both"])
@pytest.mark.parametrize("shape", ["1.0", "0.3", "dual"])
@pytest.mark.parametrize("facade", ["", "search", "summarise"])
def test_no_byte_of_the_agent_s_whereabouts_is_served(raw: dict[str, Any], shape: Shape, facade: str) -> None:
    for skills in (None, ("search",), ()):
        written = write(read(raw), offer(shape, facade=facade, skills=skills, has_extended=True, is_pushing=True))
        served = json.dumps(written, ensure_ascii=False).casefold()
        for trace in ("researcher.internal", "10.1.2.3", "9999", "8080", "50051", "blue", "jwks", "user:pw", "%2e"):
            assert trace not in served
        assert "signatures" not in written


@pytest.mark.parametrize("uri", [[], {}, 7, None])
def test_an_extension_with_an_odd_name_is_served_like_any(uri: Any) -> None:
    written = write(read({**NEW, "capabilities": {"extensions": [{"uri": uri}]}}), offer())
    assert json.loads(json.dumps(written))["capabilities"]["extensions"] == [{"uri": uri}]


@pytest.mark.requirement("a2a.card-leads-here")
@pytest.mark.parametrize("raw", [NEW, OLD, DUAL], ids=["new", "old", "both"])
def test_a_client_of_1_0_finds_the_gateway_alone(raw: dict[str, Any]) -> None:
    for shape in ("1.0", "dual"):
        card = parse_agent_card(json.loads(json.dumps(write(read(raw), offer(shape, has_extended=True)))))
        assert {one.url for one in card.supported_interfaces} == {URL}
        assert card.supported_interfaces[0].protocol_version == "1.0"
        assert card.capabilities.extended_agent_card
        assert not card.capabilities.push_notifications
        scheme = card.security_schemes["gateway"].oauth2_security_scheme
        assert scheme.flows.client_credentials.token_url == "https://gw.example/oauth/token"
        assert scheme.oauth2_metadata_url.endswith("/oauth-authorization-server")
        assert list(card.security_requirements[0].schemes["gateway"].list) == ["a2a"]
        assert not card.skills[0].security_requirements


@pytest.mark.requirement("a2a.card-leads-here")
@pytest.mark.parametrize("raw", [NEW, OLD, DUAL], ids=["new", "old", "both"])
def test_a_client_of_0_3_finds_the_gateway_alone(raw: dict[str, Any]) -> None:
    for shape in ("0.3", "dual"):
        written = write(read(raw), offer(shape, has_extended=True))
        card = old_types.AgentCard.model_validate(written)
        assert card.url == URL
        assert {one.url for one in card.additional_interfaces or ()} == {URL}
        assert (card.preferred_transport, card.protocol_version) == ("JSONRPC", "0.3.0")
        assert card.supports_authenticated_extended_card
        assert card.security == [{"gateway": ["a2a"]}]
        scheme = (card.security_schemes or {})["gateway"].root
        assert isinstance(scheme, old_types.OAuth2SecurityScheme), "not read as mutual TLS"
        assert card.skills[0].security is None


def test_what_nobody_here_knows_is_kept() -> None:
    written = write(read(NEW), offer())
    assert written["x-unknown"] == {"endpoint": URL, "big": 12345678901234567890, "no": False}
    assert written["documentationUrl"] == "https://docs.acme.example/"
    assert written["iconUrl"] == URL
    assert written["description"] == "hidden.invalid"


def test_skills_are_those_that_may_be_seen() -> None:
    assert [one["id"] for one in listed(write(read(NEW), offer(skills=("summarise",))))] == ["summarise"]
    assert listed(write(read(NEW), offer(skills=()))) == []
    assert len(listed(write(read(NEW), offer()))) == 2


def listed(written: dict[str, Any]) -> list[dict[str, Any]]:
    return written["skills"]


def test_a_skill_s_own_card() -> None:
    written = write(read(NEW), offer(facade="search"))
    assert written["name"] == "Researcher: Search"
    assert written["description"] == f"Searches; see {URL} or hidden.invalid"
    assert [one["id"] for one in listed(written)] == ["search"]
    assert written["defaultInputModes"] == ["text/markdown"]
    assert written["defaultOutputModes"] == ["text/plain"]
    assert write(read(NEW), offer(facade="summarise"))["description"] == "hidden.invalid"
    with pytest.raises(KeyError):
        write(read(NEW), offer(facade="nope"))


def test_capabilities_are_what_the_gateway_lets_through() -> None:
    def of(raw: dict[str, Any], **changes: Any) -> Any:
        return write(read(raw), offer(**changes))["capabilities"]

    assert of(NEW)["pushNotifications"] is False
    assert of(NEW, is_pushing=True)["pushNotifications"] is True
    assert "extendedAgentCard" not in of(NEW)
    assert of(NEW, has_extended=True)["extendedAgentCard"] is True
    bare = {"name": "a", "url": "http://a.example/"}
    assert of(bare, is_pushing=True) == {"streaming": False, "pushNotifications": False}
    ours: dict[str, Any] = {"uri": "https://example.org/ext/v1", "required": False}
    assert of(NEW, extensions=(ours,))["extensions"] == [ours]
    assert of(NEW)["extensions"][0]["required"] is True


def test_a_poor_card_is_completed() -> None:
    written = write(read({"name": "a", "url": "http://a.example/", "skills": [{"id": "s"}]}), offer("dual"))
    assert old_types.AgentCard.model_validate(written).default_input_modes == ["text/plain"]
    assert parse_agent_card(written).skills[0].name == "s"


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "//x", "http://", "http://[bad", 7, None]
)
def test_a_link_that_is_no_place_is_dropped(link: Any) -> None:
    provider = {"organization": "x", "url": link}
    raw = {**NEW, "iconUrl": link, "documentationUrl": link, "provider": provider}
    assert {"iconUrl", "documentationUrl", "provider"}.isdisjoint(write(read(raw), offer()))


def test_a_provider_that_is_no_object_is_dropped_and_an_absent_one_is_absent() -> None:
    assert "provider" not in write(read({**NEW, "provider": "Acme"}), offer())
    assert "provider" not in write(read({"name": "a", "url": "http://a.example"}), offer())


@pytest.mark.parametrize(
    ("raw", "served", "asked", "shape"),
    [
        (NEW, ("1.0", "0.3"), None, "1.0"), (OLD, ("1.0", "0.3"), None, "dual"), (DUAL, ("1.0", "0.3"), None, "dual"),
        (NEW, ("1.0", "0.3"), "0.3", "0.3"), (OLD, ("1.0", "0.3"), "1.0", "1.0"), (NEW, ("0.3",), None, "0.3"),
        (OLD, ("1.0",), None, "1.0"), (OLD, ("1.0",), "0.3", "1.0"),
    ],
)  # fmt: skip
def test_the_shape_is_what_is_asked_for_or_what_the_agent_has(raw: Any, served: Any, asked: Any, shape: Shape) -> None:
    assert shape_for(read(raw), served, asked) == shape


def test_a_shape_needs_a_dialect() -> None:
    with pytest.raises(ValueError, match=r"1\.0"):
        write(read(NEW), Offer(URL, DIALECTS[2:], SCHEME))
    with pytest.raises(ValueError, match=r"0\.3"):
        write(read(NEW), Offer(URL, DIALECTS[:2], SCHEME, shape="0.3"))
    only = write(read(NEW), Offer(URL, DIALECTS[2:3], bearer("gateway"), shape="0.3"))
    assert "additionalInterfaces" not in only
    assert only["securitySchemes"] == {"gateway": {"type": "http", "scheme": "Bearer"}}


def test_a_bearer_scheme_in_1_0() -> None:
    written = write(read(NEW), Offer(URL, DIALECTS[:1], bearer("gateway")))
    card = parse_agent_card(written)
    assert card.security_schemes["gateway"].http_auth_security_scheme.scheme == "Bearer"
    assert "gateway" in card.security_requirements[0].schemes


def test_a_tag_does_not_change_with_the_signature() -> None:
    written = write(read(NEW), offer())
    tag = etag(written)
    assert tag.startswith('W/"')
    assert tag == etag({**written, "signatures": [{"signature": "x"}]})
    assert tag != etag({**written, "name": "x"})
    assert is_current(f'"x", {tag}', tag)
    assert is_current(tag.removeprefix("W/"), tag)
    assert is_current("*", tag)
    assert not is_current('"x"', tag)
    assert not is_current(None, tag)


def test_where_grpc_is_served_a_card_of_1_0_says_so() -> None:
    written = write(read(NEW), offer(grpc=("agents.example:443", "worker")))
    interfaces = written["supportedInterfaces"]
    assert isinstance(interfaces, list)
    assert interfaces[-1] == {
        "url": "agents.example:443", "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": "worker",
    }  # fmt: skip
    assert "GRPC" not in str(write(read(NEW), offer("0.3", grpc=("agents.example:443", "worker"))))
