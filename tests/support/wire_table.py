"""The wire table: 74 calls and the exact request that each one is, by hand from the specifications.

Sources: OpenAPI 3.2, 4.12.5 "Style Examples" (colours: `blue`, `blue black brown`, `R=100 G=200 B=150`), 4.15
"Encoding"; RFC 6570, 7578. What the specifications leave open is noted at the case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from context_mesh.openapi.model import (
    NO_SCHEMA,
    Argument,
    Body,
    Encoding,
    Field,
    MediaType,
    Operation,
    Parameter,
    Response,
    Server,
)
from context_mesh.wire.plan import Secret

BASE: Final = "https://api.example.com/v1"
BLUE: Final = "blue"
ARRAY: Final = ["blue", "black", "brown"]
OBJECT: Final = {"R": 100, "G": 200, "B": 150}


@dataclass(frozen=True, slots=True)
class Wire:
    """One call and its request; `headers` are those beside `accept`."""

    name: str
    operation: Operation
    arguments: tuple[Argument, ...]
    values: Mapping[str, object]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    secrets: tuple[Secret, ...] = ()
    accept: str = "application/json, */*;q=0.5"


def parameter(name: str, location: Any, style: Any, explode: bool, **more: Any) -> Parameter:
    return Parameter(name, location, style, explode, location == "path", NO_SCHEMA, **more)


def operation(path: str = "/c", method: str = "GET", **more: Any) -> Operation:
    return Operation(f"{method} {path}", "op", method, path, "#/paths", **more)


def _one(name: str, one: Parameter, value: object, url: str, path: str = "/c", **more: Any) -> Wire:
    """A call with one parameter, whose argument is called `v`."""
    return Wire(
        name, operation(path, parameters=(one,)), (Argument("v", parameter=one),), {"v": value}, BASE + url, **more
    )


def _path(style: str, explode: bool, value: Any, written: str) -> Wire:
    kind = {"str": "primitive", "list": "array", "dict": "object"}[type(value).__name__]
    one = parameter("color", "path", style, explode)
    return _one(f"path {style} explode={explode} {kind}", one, value, f"/c/{written}/x", "/c/{color}/x")


def _query(name: str, style: str, explode: bool, value: object, written: str, key: str = "color", **more: Any) -> Wire:
    one = parameter(key, "query", style, explode, **more)
    return _one(f"query {name}", one, value, f"/c?{written}" if written else "/c")


def _header(name: str, explode: bool, value: object, written: str, **more: Any) -> Wire:
    one = parameter("X-Color", "header", "simple", explode, **more)
    return _one(f"header {name}", one, value, "/c", headers={"x-color": written})


def _cookie(name: str, explode: bool, value: object, written: str) -> Wire:
    return _one(
        f"cookie {name}", parameter("color", "cookie", "form", explode), value, "/c", headers={"cookie": written}
    )


def _body(name: str, media: MediaType, value: object, body: bytes, content_type: str) -> Wire:
    one = operation(method="POST", body=Body(media))
    headers = {"content-type": content_type}
    return Wire(f"body {name}", one, (Argument("body"),), {"body": value}, f"{BASE}/c", headers, body)


def _json(name: str, value: object, body: str, media: str = "application/json") -> Wire:
    return _body(f"json {name}", MediaType(media, NO_SCHEMA), value, body.encode(), media)


FORM: Final = "application/x-www-form-urlencoded"


def _form(name: str, one: Field, value: object, body: bytes) -> Wire:
    media = MediaType(FORM, NO_SCHEMA, fields=(one,))
    sent = operation(method="POST", body=Body(media))
    argument = Argument("f", field=one)
    return Wire(f"form {name}", sent, (argument,), {"f": value}, f"{BASE}/c", {"content-type": FORM}, body)


PATHS: Final = (
    _path("simple", False, BLUE, "blue"),
    _path("simple", False, ARRAY, "blue,black,brown"),
    _path("simple", False, OBJECT, "R,100,G,200,B,150"),
    _path("simple", True, BLUE, "blue"),
    _path("simple", True, ARRAY, "blue,black,brown"),
    _path("simple", True, OBJECT, "R=100,G=200,B=150"),
    _path("label", False, BLUE, ".blue"),
    _path("label", False, ARRAY, ".blue,black,brown"),
    _path("label", False, OBJECT, ".R,100,G,200,B,150"),
    _path("label", True, BLUE, ".blue"),
    _path("label", True, ARRAY, ".blue.black.brown"),
    _path("label", True, OBJECT, ".R=100.G=200.B=150"),
    _path("matrix", False, BLUE, ";color=blue"),
    _path("matrix", False, ARRAY, ";color=blue,black,brown"),
    _path("matrix", False, OBJECT, ";color=R,100,G,200,B,150"),
    _path("matrix", True, BLUE, ";color=blue"),
    _path("matrix", True, ARRAY, ";color=blue;color=black;color=brown"),
    _path("matrix", True, OBJECT, ";R=100;G=200;B=150"),
    _one(
        "path reserved", parameter("p", "path", "simple", False), "a?b#c d%e&f=g;h", "/c/a%3Fb%23c%20d%25e%26f%3Dg%3Bh",
        "/c/{p}",
    ),
    _one("path dots", parameter("p", "path", "simple", False), "v1.2.3-rc~1_x", "/c/v1.2.3-rc~1_x.json", "/c/{p}.json"),
    Wire(
        "path two in one segment", operation("/c/{a}...{b}"),
        tuple(Argument(name, parameter=parameter(name, "path", "simple", False)) for name in "ab"),
        {"a": "main", "b": "feature"}, f"{BASE}/c/main...feature",
    ),
)  # fmt: skip

QUERIES: Final = (
    _query("form primitive", "form", True, BLUE, "color=blue"),
    _query("form array", "form", True, ARRAY, "color=blue&color=black&color=brown"),
    _query("form object", "form", True, OBJECT, "R=100&G=200&B=150"),
    _query("form array in one", "form", False, ARRAY, "color=blue,black,brown"),
    _query("form object in one", "form", False, OBJECT, "color=R,100,G,200,B,150"),
    _query("empty text", "form", True, "", "color="),
    _query("empty array", "form", True, [], ""),  # RFC 6570, 2.3: an empty list is as if undefined
    _query("spaceDelimited array", "spaceDelimited", False, ARRAY, "color=blue%20black%20brown"),
    _query("spaceDelimited object", "spaceDelimited", False, OBJECT, "color=R%20100%20G%20200%20B%20150"),
    _query("pipeDelimited array", "pipeDelimited", False, ARRAY, "color=blue%7Cblack%7Cbrown"),
    _query("pipeDelimited object", "pipeDelimited", False, OBJECT, "color=R%7C100%7CG%7C200%7CB%7C150"),
    _query("deepObject", "deepObject", True, OBJECT, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
    _query("brackets in the name", "form", True, ["a", "b"], "include%5B%5D=a&include%5B%5D=b", key="include[]"),
    _query("an operator in the name", "form", True, "2026-01-01", "StartTime%3C=2026-01-01", key="StartTime<"),
    _query("JSON content", "form", True, {"a": [1, True]}, "color=%7B%22a%22%3A%5B1%2Ctrue%5D%7D",
           media_type="application/json"),
    _query("allowReserved", "form", True, "a/b?c:d@e,f&g=h#i+j%k", "color=a/b?c:d@e,f%26g%3Dh%23i%2Bj%25k",
           allow_reserved=True),
    _query("everything escaped", "form", True, "é &=+/?#%", "color=%C3%A9%20%26%3D%2B%2F%3F%23%25"),
    _query("booleans and numbers", "form", True, [True, False, 0, -1.5, 2.0, 1e21],
           "color=true&color=false&color=0&color=-1.5&color=2&color=1e%2B21"),
    Wire(
        "query the same name twice", operation(),
        (Argument("id_query", parameter=parameter("id", "query", "form", True)),
         Argument("id_header", parameter=parameter("id", "header", "simple", False))),
        {"id_query": "q", "id_header": "h"}, f"{BASE}/c?id=q", {"id": "h"},
    ),
)  # fmt: skip

HEADERS: Final = (
    _header("primitive", False, "blue sky", "blue sky"),
    _header("array", False, ARRAY, "blue,black,brown"),
    _header("array explode", True, ARRAY, "blue,black,brown"),
    _header("object", False, OBJECT, "R,100,G,200,B,150"),
    _header("object explode", True, OBJECT, "R=100,G=200,B=150"),
    _header("JSON content", False, {"a": 1}, '{"a":1}', media_type="application/json"),
)

COOKIES: Final = (
    _cookie("primitive", True, "blue sky", "color=blue%20sky"),
    _cookie("array in one", False, ARRAY, "color=blue,black,brown"),
    _cookie("object in one", False, OBJECT, "color=R,100,G,200,B,150"),
    _cookie("array", True, ARRAY, "color=blue; color=black; color=brown"),  # 3.2, style `cookie`: `;` and a blank
)

JSONS: Final = (
    _json("object", {"a": 1, "b": "x"}, '{"a":1,"b":"x"}'),
    _json("nested", {"a": {"b": [{"c": None}]}}, '{"a":{"b":[{"c":null}]}}'),
    _json("array at the root", [1, 2], "[1,2]"),
    _json("text at the root", "x", '"x"'),
    _json("number at the root", 5, "5"),
    _json("null at the root", None, "null"),
    _json("explicit null", {"name": None}, '{"name":null}'),
    _json("large integer", {"n": 12345678901234567890}, '{"n":12345678901234567890}'),
    _json("any script", {"é": "日本\u2028"}, '{"é":"日本\u2028"}'),
    _json("of a vendor", {"a": True}, '{"a":true}', "application/vnd.api+json"),
)

FORMS: Final = (
    _form("plain", Field("To", NO_SCHEMA), "+1 55&5", b"To=%2B1%2055%265"),
    _form("repeated", Field("to", NO_SCHEMA, is_many=True), ["a", "b"], b"to=a&to=b"),
    _form("in one", Field("ids", NO_SCHEMA, encoding=Encoding(style="form", explode=False)), [1, 2], b"ids=1,2"),
    _form(
        "deepObject", Field("meta", NO_SCHEMA, encoding=Encoding(style="deepObject", explode=True)),
        {"a": {"b": 1}, "c": ["x"]}, b"meta%5Ba%5D%5Bb%5D=1&meta%5Bc%5D%5B0%5D=x",
    ),
    _form("JSON", Field("attributes", NO_SCHEMA), {"a": [1]}, b"attributes=%7B%22a%22%3A%5B1%5D%7D"),
)  # fmt: skip

PNG: Final = bytes.fromhex("89504e470d0a1a0a00ff")
PNG_BASE64: Final = "iVBORw0KGgoA/w=="


def _multipart(name: str, fields: tuple[Field, ...], value: object, boundary: str, body: bytes) -> Wire:
    media = MediaType("multipart/form-data", NO_SCHEMA, fields=fields)
    return _body(f"multipart {name}", media, value, body, f"multipart/form-data; boundary={boundary}")


# A boundary is a hash of what it separates.
_FIRST: Final = "gateway-37c8fc5af3479eb36d72d73e3ed118c8ebc5a2ab"
_SECOND: Final = "gateway-16f34c712a1008c86b99a1cc43f4727fe78472e8"

MULTIPARTS: Final = (
    _multipart(
        "file and JSON part",
        (Field("attributes", NO_SCHEMA), Field("file", NO_SCHEMA, is_file=True)),
        {"file": {"data": PNG_BASE64, "filename": 'a "b".png', "type": "image/png"}, "attributes": {"name": "é"}},
        _FIRST,
        b"--" + _FIRST.encode() + b'\r\nContent-Disposition: form-data; name="attributes"\r\n'
        b'Content-Type: application/json\r\n\r\n{"name":"\xc3\xa9"}\r\n'
        b"--" + _FIRST.encode() + b'\r\nContent-Disposition: form-data; name="file"; filename="a %22b%22.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + PNG + b"\r\n--" + _FIRST.encode() + b"--\r\n",
    ),
    _multipart(
        "typed and repeated parts",
        (
            Field("note", NO_SCHEMA, encoding=Encoding(content_type="text/markdown")),
            Field("tags", NO_SCHEMA, is_many=True),
        ),
        {"note": "# x", "tags": ["a", 2]},
        _SECOND,
        b"--" + _SECOND.encode() + b'\r\nContent-Disposition: form-data; name="note"\r\n'
        b"Content-Type: text/markdown\r\n\r\n# x\r\n"
        b"--" + _SECOND.encode() + b'\r\nContent-Disposition: form-data; name="tags"\r\n\r\na\r\n'
        b"--" + _SECOND.encode() + b'\r\nContent-Disposition: form-data; name="tags"\r\n\r\n2\r\n'
        b"--" + _SECOND.encode() + b"--\r\n",
    ),
)

_XML: Final = MediaType(
    "application/xml",
    NO_SCHEMA,
    fields=(Field("id", NO_SCHEMA, xml_name="id", is_xml_attribute=True), Field("name", NO_SCHEMA, xml_name="Name")),
    xml_root="Pet",
)

RAWS: Final = (
    _body(
        "octets", MediaType("application/octet-stream", NO_SCHEMA, is_file=True), {"data": PNG_BASE64}, PNG,
        "application/octet-stream",
    ),
    _body("text", MediaType("text/plain", NO_SCHEMA, full="text/plain; charset=utf-8"), "é\n", "é\n".encode(),
          "text/plain; charset=utf-8"),
    _body("XML", _XML, {"id": 1, "name": "a<b", "tag": ["x", "y"]},
          b'<Pet id="1"><Name>a&lt;b</Name><tag>x</tag><tag>y</tag></Pet>', "application/xml"),
)  # fmt: skip

_OWN: Final = Server("https://{zone}.example.com/upload", description="own")
_CSV: Final = Response("200", media=(MediaType("text/csv", NO_SCHEMA),))

OTHERS: Final = (
    Wire(
        "server of its own", operation("/c", servers=(_OWN,), has_own_servers=True), (), {},
        "https://upload.example.com/upload/c",
    ),
    Wire("accept", operation(responses=(_CSV,)), (), {}, f"{BASE}/c", accept="text/csv"),
    Wire(
        "security key in the query", operation(query="Action=List"), (), {}, f"{BASE}/c?Action=List&api_key=k%2F1",
        secrets=(Secret("query", "api_key", "k/1"),),
    ),
    Wire(
        "security two at once", operation(), (), {}, f"{BASE}/c",
        {"authorization": "Bearer t", "x-app": "a", "cookie": "sid=s"},
        secrets=(Secret("header", "Authorization", "Bearer t"), Secret("header", "X-App", "a"),
                 Secret("cookie", "sid", "s")),
    ),
)  # fmt: skip

WIRES: Final = (*PATHS, *QUERIES, *HEADERS, *COOKIES, *JSONS, *FORMS, *MULTIPARTS, *RAWS, *OTHERS)
