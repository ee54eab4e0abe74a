"""Sources of APIs, as proposals: what is found, who answers for it, what is doubtful. Nothing is fetched."""

import json
from typing import Any

import pytest

from context_mesh.discovery.catalogs import from_api_catalog, from_backstage, from_kubernetes
from context_mesh.discovery.exports import from_apigee, from_apim, from_kong
from context_mesh.discovery.grading import graded
from context_mesh.discovery.har import MAX_DEPTH, from_har, schema_of
from context_mesh.discovery.proposal import MAX_PROPOSALS, WELL_KNOWN, Proposal, distinct, host_of, name_of
from context_mesh.discovery.recognise import documents, recognise
from context_mesh.openapi.tool import Risk

ODD: list[object] = [None, 5, "x", [], {}, [None, 5], {"linkset": 5}, {"spec": []}, {"log": {"entries": [None, {}]}}]


def as_list(value: Any) -> list[Any]:
    return [*value] if isinstance(value, list) else [value]


@pytest.mark.parametrize("odd", ODD)
def test_whatever_a_source_holds_nothing_is_raised(odd: Any) -> None:
    some = as_list(odd)
    found = [
        *from_api_catalog(odd, "https://x.example"), *from_backstage(some), *from_kubernetes(some), *from_kong(odd),
        *from_apim(odd), *from_har(odd), *from_apigee({}),
    ]  # fmt: skip
    assert found == []
    assert recognise(some) in ("", "api-catalog", "har")


def test_an_api_catalog_names_descriptions() -> None:
    linkset: Any = {
        "linkset": [
            {"anchor": "https://api.example/pets/", "service-desc": [{"href": "/pets.json", "title": "Pets"}, {}]},
            {"anchor": "/orders", "service-desc": [{"href": "https://other.example/o.yaml"}]},
            {"anchor": "https://api.example", "item": [{"href": "https://api.example/bare"}, {"href": "ftp://x"}]},
            {"service-desc": [{"href": "http://[bad"}, {"href": "javascript:x"}]},
        ]
    }  # fmt: skip
    found = list(from_api_catalog(linkset, "https://api.example/.well-known/api-catalog"))
    assert [(one.name, one.spec, one.url) for one in found] == [
        ("pets", "https://api.example/pets.json", "https://api.example/pets/"),
        ("api-example-orders", "https://other.example/o.yaml", "https://api.example/orders"),
        ("api-example-bare", "", "https://api.example/bare"),
    ]


def test_backstage_brings_owner_and_lifecycle() -> None:
    def entity(name: str, definition: object, kind: str = "openapi") -> dict[str, Any]:
        spec = {"type": kind, "owner": "team-a", "lifecycle": "deprecated", "definition": definition}
        return {
            "apiVersion": "backstage.io/v1alpha1",
            "kind": "API",
            "metadata": {"name": name, "tags": ["x", 5]},
            "spec": spec,
        }

    entities: list[Any] = [
        entity("pets-api", "openapi: 3.0.0"), entity("orders", {"$text": "./orders.yaml"}), entity("odd", {"$text": 5}),
        entity("graph", "type Query", "graphql"), {"kind": "Component"},
    ]  # fmt: skip
    found = list(from_backstage(entities))
    assert [(one.name, one.spec, one.description, one.owner) for one in found] == [
        ("pets-api", "", "openapi: 3.0.0", "team-a"), ("orders", "./orders.yaml", None, "team-a"),
        ("odd", "", None, "team-a"),
    ]  # fmt: skip
    assert distinct(found)[0].notes == ("its lifecycle is `deprecated`",)
    assert "it has no description: somebody has to write one" in distinct(found)[2].notes
    assert recognise(list(entities)) == "backstage"


def test_kubernetes_annotations_are_read() -> None:
    def service(name: str, annotations: object, **spec: Any) -> dict[str, Any]:
        metadata = {"name": name, "annotations": annotations, "labels": {"team": "blue"}}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

    path = {"agent-gateway.io/openapi-path": "/openapi.json"}
    manifests: list[Any] = [
        {
            "apiVersion": "v1", "kind": "List",
            "items": [
                service("pets", path, ports=[{"port": 8080}]),
                service("safe", {**path, "agent-gateway.io/owner": "red"}, ports=[{"port": 443}]),
                service("odd", path, ports=[{"port": "http", "name": "https"}]),
                service("none", {"other": "x"}),
                service("bare", path),
            ],
        },
        {
            "kind": "Ingress", "metadata": {"name": "web", "annotations": {"agw.io/openapi-url": "https://w.example/o.json"}},
            "spec": {"rules": [{"host": "w.example"}], "tls": [{}]},
        },
        {"kind": "Ingress", "metadata": {"name": "lost", "annotations": path}, "spec": {}},
        {"kind": "Deployment", "metadata": {"name": "x", "annotations": path}},
    ]  # fmt: skip
    found = list(from_kubernetes(manifests))
    assert [(one.name, one.spec, one.owner) for one in found] == [
        ("pets", "http://pets.default.svc:8080/openapi.json", "blue"),
        ("safe", "https://safe.default.svc:443/openapi.json", "red"),
        ("odd", "https://odd.default.svc:80/openapi.json", "blue"),
        ("bare", "http://bare.default.svc:80/openapi.json", "blue"),
        ("web", "https://w.example/o.json", ""),
        ("lost", "", ""),
    ]
    assert "plain http for its description" in distinct(found)[0].notes
    nested: Any = manifests[0]
    for _ in range(50):
        nested = {"kind": "List", "items": [nested]}
    assert list(from_kubernetes([nested])) == []
    assert recognise(list(manifests)) == "kubernetes"


def test_kong_services_say_where_and_what_their_callers_need() -> None:
    declarative: Any = {
        "_format_version": "3.0",
        "services": [
            {
                "name": "Pets", "url": "https://pets.internal/v1", "tags": ["owner:blue", 5],
                "routes": [{"paths": ["/pets", 5], "plugins": [{"name": "key-auth"}, {"name": "cors"}]}],
                "plugins": [{"name": "jwt"}],
            },
            {"host": "orders", "port": 8000, "path": "/o"},
            {"host": "plain", "protocol": "https", "port": 443},
            {"name": "nowhere"},
        ],
    }  # fmt: skip
    found = list(from_kong(declarative))
    assert [(one.name, one.url, one.owner) for one in found] == [
        ("pets", "https://pets.internal/v1", "blue"), ("orders", "http://orders:8000/o", ""),
        ("plain", "https://plain", ""), ("nowhere", "", ""),
    ]  # fmt: skip
    assert found[0].notes == ("routes: /pets", "its callers need jwt, key-auth")
    assert found[1].notes == ("its routes ask for no credential",)
    assert recognise([declarative]) == "kong"
    assert recognise([{"_transform": True, "services": [1]}]) == "kong"


def test_apim_exports_hold_or_link_the_description() -> None:
    linked: Any = {"format": "openapi-link", "value": {"link": "https://blob.example/x.json?sig=1"}, "name": "pets"}
    held: Any = {"properties": {"format": "openapi+json", "value": {"openapi": "3.0.1", "info": {"title": "Orders"}}}}
    texts: Any = {"properties": {"format": "openapi", "value": "openapi: 3.0.1", "displayName": "Texts"}}
    found = [
        one for export in (linked, held, texts, {"properties": {"format": "openapi"}}) for one in from_apim(export)
    ]
    assert [(one.name, one.spec, one.description) for one in found] == [
        ("pets", "https://blob.example/x.json?sig=1", None),
        ("orders", "", {"openapi": "3.0.1", "info": {"title": "Orders"}}),
        ("texts", "", "openapi: 3.0.1"),
    ]
    assert [recognise([export]) for export in (linked, held, texts)] == ["apim", "apim", "apim"]


def test_an_apigee_bundle_is_searched() -> None:
    files = {
        "apiproxy/pets.xml": b'<?xml version="1.0"?><APIProxy revision="1" name="pets"><X/></APIProxy>',
        "apiproxy/proxies/default.xml": b"<ProxyEndpoint><BasePath>/v1/pets</BasePath></ProxyEndpoint>",
        "apiproxy/targets/default.xml": b"<T><URL>https://pets.internal/a?b=1&amp;c=2</URL></T>",
        "apiproxy/resources/oas/spec.yaml": b"openapi: 3.0.0",
    }
    (found,) = from_apigee(files)
    assert (found.name, found.spec, found.url) == (
        "pets", "apiproxy/resources/oas/spec.yaml", "https://pets.internal/a?b=1&c=2",
    )  # fmt: skip
    assert found.notes == ("served at /v1/pets",)
    (bare,) = from_apigee({"apiproxy/x.xml": b"<a/>"})
    assert (bare.name, bare.spec, bare.notes) == ("apigee", "", ())


def _seen(method: str, url: str, answer: object, sent: object = None, status: object = 200) -> dict[str, Any]:
    request: dict[str, Any] = {"method": method, "url": url}
    if sent is not None:
        request["postData"] = {
            "mimeType": "application/json",
            "text": sent if isinstance(sent, str) else json.dumps(sent),
        }
    content = {"mimeType": "application/json", "text": answer if isinstance(answer, str) else json.dumps(answer)}
    return {"request": request, "response": {"status": status, "content": content}}


@pytest.mark.requirement("mesh.discovery-proposes")
def test_traffic_becomes_a_draft_without_any_value_of_it() -> None:
    base = "https://shop.example:8443/api"
    entries: list[Any] = [
        _seen("GET", f"{base}/orders/123?limit=10&deep=true&q=shoes&api_key=S3CRET",
              {"id": 123, "ok": True, "price": 1.5, "x": None}),
        _seen("GET", f"{base}/orders/456?limit=20", {"other": 1}),
        _seen("POST", f"{base}/orders/123/lines", [{"sku": "S3CRET"}], {"sku": "S3CRET", "tags": []}, 201),
        _seen("POST", f"{base}/orders", "no json", "no json", 500),
        _seen("GET", f"{base}/a/1/2/3", []),
        _seen("GET", f"{base}/{{odd}}", "[1]", status="x"),
        _seen("OPTIONS", f"{base}/orders", {}),
        _seen("GET", "http://[bad", {}),
        _seen("GET", "ftp://x.example/y", {}),
        {"request": {"method": "GET", "url": f"{base}/page"}, "response": {"content": {"mimeType": "text/html"}}},
    ]  # fmt: skip
    (found,) = from_har({"log": {"entries": entries}})
    draft: Any = found.description
    assert found.url == "https://shop.example:8443"
    assert sorted(draft["paths"]) == [
        "/api/%7Bodd%7D", "/api/a/{a_id}/{id}/{id_}", "/api/orders", "/api/orders/{order_id}",
        "/api/orders/{order_id}/lines",
    ]  # fmt: skip
    get = draft["paths"]["/api/orders/{order_id}"]["get"]
    assert [(one["name"], one["schema"]["type"]) for one in get["parameters"]] == [
        ("order_id", "string"), ("limit", "integer"), ("deep", "boolean"), ("q", "string"),
    ]  # fmt: skip
    assert get["responses"]["200"]["content"]["application/json"]["schema"]["properties"] == {
        "id": {"type": "integer"}, "ok": {"type": "boolean"}, "price": {"type": "number"}, "x": {},
    }  # fmt: skip
    assert "requestBody" not in draft["paths"]["/api/orders"]["post"]
    assert "S3CRET" not in json.dumps(draft)
    assert "shoes" not in json.dumps(draft)
    assert list(from_har({"log": {"entries": [entries[6]]}})) == []
    assert recognise([{"log": {"entries": []}}]) == "har"


def test_a_draft_has_bounds() -> None:
    many = [
        _seen("GET", f"https://x.example/{'abcdefgh'[n % 8]}{'xyz'[n % 3]}q{'-' * (n // 24)}", {}) for n in range(700)
    ]
    (found,) = from_har({"log": {"entries": many}})
    draft: Any = found.description
    assert len(draft["paths"]) == 500
    deep: Any = 1
    for _ in range(20):
        deep = {"a": deep}
    assert str(schema_of(deep)).count("properties") == MAX_DEPTH + 1
    assert schema_of([]) == {"type": "array", "items": {}}
    answer = _seen("GET", "https://x.example/a", "[" * 100_000)
    assert [one.name for one in from_har({"log": {"entries": [answer]}})] == ["x-example"]
    none: Any = {
        "request": {"method": "GET", "url": "https://x.example/"},
        "response": {"status": 204, "content": {"mimeType": "a/json"}},
    }
    (empty,) = from_har({"log": {"entries": [none]}})
    drafted: Any = empty.description
    assert drafted["paths"]["/"]["get"]["responses"] == {"204": {"description": "seen"}}


@pytest.mark.requirement("mesh.discovery-proposes")
def test_proposals_are_distinct_and_judged() -> None:
    found = distinct(
        [
            Proposal("pets", "file", "a.json", "http://x.example", owner="o"),
            Proposal("pets", "file", "a.json"),
            Proposal("pets", "file", "b.json", lifecycle="production"),
            Proposal("pets", "kong"),
        ]
    )
    assert [(one.name, one.spec) for one in found] == [("pets", "a.json"), ("pets-2", "b.json"), ("pets-3", "")]
    assert found[0].notes == ("plain http for its calls",)
    assert found[1].notes == ("nobody is named as its owner",)
    assert found[2].notes == ("nobody is named as its owner", "it has no description: somebody has to write one")
    assert len(distinct(Proposal("x", "file", str(n)) for n in range(MAX_PROPOSALS + 5))) == MAX_PROPOSALS


def test_names_hosts_and_documents() -> None:
    assert name_of("Pet Store API (v2)") == "pet-store-api-v2"
    assert name_of("日本") == "api"
    assert len(name_of("x" * 99)) == 32
    assert host_of("https://Api.Example/x") == "api.example"
    assert host_of("http://[bad") == ""
    assert documents(b"---\na: 1\n---\n\n--- \nb: 2\n") == [b"a: 1\n", b"b: 2\n"]
    assert documents(b'{"a": "---"}') == [b'{"a": "---"}']
    assert recognise([{"openapi": "3.1.0"}]) == recognise([{"swagger": 2.0}]) == "openapi"
    assert recognise([{"linkset": []}]) == "api-catalog"
    assert WELL_KNOWN[0] == "/.well-known/api-catalog"


@pytest.mark.parametrize(
    ("description", "grade"),
    [
        ({"paths": {"/a": {"get": {}, "parameters": []}}}, Risk.READ),
        ({"paths": {"/a": {"GET": {}}, "/b": {"post": {}}}}, Risk.CREATE),
        ({"paths": {"/a": {"patch": {}}}}, Risk.WRITE),
        ({"paths": {"/a": {"delete": {}}, "/b": 5}}, Risk.DESTROY),
        ({"paths": []}, None),
        (None, None),
        ("openapi: 3.1.0", None),
    ],
)
def test_what_was_found_is_graded_by_its_methods(description: object, grade: Risk | None) -> None:
    assert graded(description) is grade
