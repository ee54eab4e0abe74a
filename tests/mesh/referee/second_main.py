"""The second opinion, run in an environment of its own: openapi-core on requests of one description.

Reads an object from standard input: `description`, `url`, and `requests` with `method`, `url`, `headers` and `body`;
writes a list of verdicts, each empty or the validator's words. The body is in hex.
"""

import importlib
import json
import sys
from typing import Any
from urllib.parse import parse_qsl, urlsplit

CORE: Any = importlib.import_module("openapi_core")  # of the other environment
TESTING: Any = importlib.import_module("openapi_core.testing")


def main() -> None:
    given = json.load(sys.stdin)
    try:
        judge = CORE.OpenAPI.from_dict(given["description"])
    except Exception as error:  # noqa: BLE001 - whatever it says of the description
        json.dump({"refused": f"{type(error).__name__}: {error}"[:300]}, sys.stdout)
        return
    json.dump({"verdicts": [verdict(judge, given["url"], one) for one in given["requests"]]}, sys.stdout)


def verdict(judge: Any, url: str, one: dict[str, Any]) -> str:
    parts = urlsplit(str(one["url"]))
    headers = {name.title(): value for name, value in one["headers"]}
    cookies = dict(pair.split("=", 1) for pair in headers.pop("Cookie", "").split("; ") if "=" in pair)
    args: dict[str, list[str]] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        args.setdefault(name, []).append(value)
    request = TESTING.MockRequest(
        url, one["method"].lower(), parts.path, args=args, headers=headers, cookies=cookies,
        data=bytes.fromhex(one["body"]), content_type=headers.get("Content-Type", "application/json"),
    )  # fmt: skip
    try:
        judge.validate_request(request)
    except Exception as error:  # noqa: BLE001 - its words are the verdict
        cause = error.__cause__ or error
        return f"{type(cause).__name__}: {cause}"[:200] or "refused"
    return ""


if __name__ == "__main__":
    main()
