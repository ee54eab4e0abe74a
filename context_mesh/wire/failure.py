"""Failures of an API in words that help a model to do better: status, what the API says, and what to try."""

import json
import re
from collections.abc import Mapping
from typing import Final, cast

MAX_CHARS: Final = 2000
_TITLES: Final = {
    400: "bad request", 401: "the API does not accept the gateway's credential", 402: "payment required",
    403: "the gateway's credential may not do this", 404: "not found", 405: "method not allowed", 406: "not acceptable",
    409: "conflict", 410: "gone", 412: "a precondition failed", 413: "too large", 415: "unsupported media type",
    422: "the arguments are not acceptable", 423: "locked", 428: "a precondition is required", 429: "too many requests",
    500: "internal error of the API", 501: "not implemented", 502: "bad gateway", 503: "unavailable", 504: "timeout",
}  # fmt: skip
_HINTS: Final = {
    401: "An operator can check the credential; the arguments are not the reason.",
    403: "Other arguments may be allowed; an operator can widen the credential.",
    404: "Check the identifiers: list or search first.",
    409: "Read the present state first, then decide again.",
    412: "Read the present state first: it has changed.",
    429: "Wait before the next call.",
    503: "Wait, then try again.",
}
_WORDS: Final = ("detail", "message", "error_description", "error_message", "errorMessage", "description", "reason")
_TITLE_TAG: Final = re.compile(r"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


def failure_text(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Return what a caller is told of an answer with status 400 or more, at most about 2 000 characters.

    RFC 9457 problems, and the usual shapes of errors, lose everything but their words; HTML keeps its title.
    """
    parts = [f"HTTP {status}: {_TITLES.get(status, 'the API refuses' if status < 500 else 'the API fails')}"]
    said = _said(headers.get("content-type", ""), body)
    if said:
        parts.append(said)
    wait = headers.get("retry-after", "")
    if wait.isdigit() and len(wait) < 7:
        parts.append(f"Retry after {wait} seconds.")
    elif status in _HINTS:
        parts.append(_HINTS[status])
    return "\n".join(parts)


def _said(content_type: str, body: bytes) -> str:
    text = body[: 4 * MAX_CHARS].decode("utf-8", "replace").strip()
    if "html" in content_type.lower() or text[:15].lower().startswith(("<!doctype html", "<html")):
        match = _TITLE_TAG.search(text)
        return match[1].strip() if match else ""
    try:
        value: object = json.loads(body) if len(body) <= 256 * 1024 else None
    except (ValueError, RecursionError):
        value = None
    if value is None:
        return _trimmed(text)
    return _trimmed(_words_of(value))


def _words_of(value: object) -> str:
    """Return the words of a parsed error; the JSON itself where no known shape fits."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    members = cast("dict[str, object]", value)
    inner = members.get("error")
    if isinstance(inner, dict):
        return _words_of(cast("dict[str, object]", inner))
    found = [inner] if isinstance(inner, str) else []
    found += [text for text in (members.get("title"), *(members.get(name) for name in _WORDS)) if isinstance(text, str)]
    details = members.get("errors") or members.get("details") or members.get("invalid-params")
    if details:
        found.append(json.dumps(details, ensure_ascii=False))
    if not found:
        return json.dumps(members, ensure_ascii=False)
    return "; ".join(dict.fromkeys(text.strip() for text in found if text.strip()))


def _trimmed(text: str) -> str:
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + "…"
