"""A description of version 2.0 in the words of 3.0, for referees that read no other: what requests need, no more."""

import json
from typing import Any, Final

from mesh.referee.kinds import is_list, is_object

_PARAMETER: Final = ("name", "in", "description", "required")
_COLLECTIONS: Final = {
    "multi": {"style": "form", "explode": True}, "ssv": {"style": "spaceDelimited", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False}, "csv": {"explode": False}, "tsv": {"explode": False},
}  # fmt: skip
METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")


def upgraded(old: dict[str, Any]) -> dict[str, Any]:
    """Return the description in 3.0; the same object when it is not of version 2.0."""
    if not str(old.get("swagger", "")).startswith("2"):
        return old
    old = json.loads(json.dumps(old, default=str).replace('"#/definitions/', '"#/components/schemas/'))
    new: dict[str, Any] = {
        "openapi": "3.0.3", "info": old.get("info", {"title": "x", "version": "1"}),
        "paths": {},
        "components": {"schemas": {name: _schema(one) for name, one in old.get("definitions", {}).items()}},
    }  # fmt: skip
    for path, item in old.get("paths", {}).items():
        shared = [_found(old, one) for one in item.get("parameters", ())]
        new["paths"][path] = {
            method: _operation(old, one, shared) for method, one in item.items() if method in METHODS and is_object(one)
        }
    return new


def _found(old: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in one:
        return one
    return old.get("parameters", {}).get(one["$ref"].rpartition("/")[2], {})


def _operation(old: dict[str, Any], one: dict[str, Any], shared: list[dict[str, Any]]) -> dict[str, Any]:
    own = [_found(old, each) for each in one.get("parameters", ())]
    known = {(each.get("name"), each.get("in")) for each in own}
    every = [each for each in shared if (each.get("name"), each.get("in")) not in known] + own
    new: dict[str, Any] = {"responses": {str(code): {"description": ""} for code in one.get("responses", {"200": {}})}}
    new["parameters"] = [_parameter(each) for each in every if each.get("in") in ("path", "query", "header")]
    takes = one.get("consumes") or old.get("consumes") or ["application/json"]
    body = next((each for each in every if each.get("in") == "body"), None)
    fields = [each for each in every if each.get("in") == "formData"]
    if body is not None:
        content = {kind: {"schema": _schema(body.get("schema", {}))} for kind in takes}
        new["requestBody"] = {"required": bool(body.get("required")), "content": content}
    elif fields:
        new["requestBody"] = {"content": _form(takes, fields)}
    return new


def _form(takes: list[str], fields: list[dict[str, Any]]) -> dict[str, Any]:
    has_file = any(each.get("type") == "file" for each in fields)
    kinds = [kind for kind in takes if "form" in kind] or ["application/x-www-form-urlencoded"]
    kind = "multipart/form-data" if has_file else kinds[0]
    schema = {
        "type": "object",
        "properties": {each["name"]: _bare(each) for each in fields},
        "required": [each["name"] for each in fields if each.get("required")],
    }  # fmt: skip
    if not schema["required"]:
        del schema["required"]
    encoding = {
        each["name"]: {"style": "form", "explode": False}
        for each in fields
        if each.get("type") == "array" and each.get("collectionFormat", "csv") == "csv"
    }
    return {kind: {"schema": schema, **({"encoding": encoding} if encoding and not has_file else {})}}


def _parameter(each: dict[str, Any]) -> dict[str, Any]:
    new = {key: each[key] for key in _PARAMETER if key in each}
    new["schema"] = _bare(each)
    if each.get("type") == "array" and each.get("in") == "query":
        new |= _COLLECTIONS.get(each.get("collectionFormat", "csv"), {})
    if new.get("in") == "path":
        new["required"] = True
    return new


def _bare(each: dict[str, Any]) -> Any:
    return _schema({key: value for key, value in each.items() if key not in (*_PARAMETER, "collectionFormat")})


def _schema(schema: Any) -> Any:
    if is_list(schema):
        return [_schema(one) for one in schema]
    if not is_object(schema):
        return schema
    new = {key: _schema(value) for key, value in schema.items() if not key.startswith("x-")}
    if new.get("type") == "file":
        new = {**new, "type": "string", "format": "binary"}
    if new.get("type") in ("any", "int-or-string"):
        del new["type"]
    if schema.get("x-nullable") is True:
        new["nullable"] = True
    return new
