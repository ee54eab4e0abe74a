"""Small OpenAPI descriptions for tests, and what they were read as."""

import orjson

from context_mesh.openapi.load import load
from context_mesh.openapi.model import Document, Operation, Parameter


def described(paths: object, **members: object) -> Document:
    """Load a 3.1 description with these paths."""
    return load(orjson.dumps({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, **members}))


def only(document: Document) -> Operation:
    assert len(document.operations) == 1, document.findings
    return document.operations[0]


def codes(document: Document) -> list[str]:
    return [finding.code for finding in document.findings]


def parameter(document: Document, name: str) -> Parameter:
    return next(item for item in only(document).parameters if item.name == name)
