"""Does somebody else's server take our requests? `make mesh-wire`, or `python -m mesh.referee.run PATH…`.

For every operation of every description arguments are invented from the tool's own schema, checked against it,
planned into a request and sent to Steady, which knows nothing but the description. Each refusal has a cause.
Ends with 0 when at most one of a hundred is refused for no known reason (`LABELS`); with 75 when Steady cannot be
installed here.
"""

import argparse
import contextlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import httpx2
import jsonschema_rs

from agent_gateway.mesh.approved import Made, make
from agent_gateway.mesh.sources import from_path
from context_mesh.openapi.files import BrokenReference
from context_mesh.openapi.members import mapping
from context_mesh.openapi.tool import Tool
from context_mesh.wire.address import Site, filled
from context_mesh.wire.plan import Placing, Planned, Secret, plan
from demos.environments import EnvironmentFailed, ensure, is_made
from gateway_policies.refusal import Refusal
from mesh.referee import second
from mesh.referee.invent import Inventor
from mesh.referee.kinds import is_list, is_object
from mesh.referee.steady import ENVIRONMENT, CannotReadIt, steady
from mesh.referee.upgraded import upgraded

SKIPPED: Final = 75
WANTED_SHARE: Final = 0.99
MAX_INLINED: Final = 24  # references inside of one another
TRIES: Final = 4  # inventions per operation until one fits the tool's own schema
SMALL_SET: Final = Path(__file__).parents[2] / "specs"
UNDECLARED: Final = "undeclared member"
LABELS: Final = (
    ("not invented", "no arguments were invented that fit"),
    ("must not be empty", "an empty object was invented for a path"),
    (r"header\.(Accept-Encoding|Content-type)", "the API names a header that is the gateway's own"),
    (r'E30(11|16).*"expected":\[\]', "the referee knows no value of its discriminator"),
    (r'E3016.*"path":"query.*"expected":\[\d', "the referee compares the text of a query with numbers"),
    ("_SWITCH_UPGRADE", "the API switches protocols"),
    (r'E3008.*"path":"body.*Expected type object, got string', "the referee reads no JSON inside of a form"),
    (r"E3007.*Missing required property: (token|grant_type)", "the API wants a credential in its body"),
    (r"404 .*%3C", "the referee has no path with odd characters"),
    (UNDECLARED, "the description requires a member that it does not declare"),
)
"""What explains a refusal, by a pattern of its words; what none explains counts against us."""

_CODE: Final = re.compile(r'"code"\s*:\s*"(E\d{4})"')
_CREDENTIAL_PLACES: Final = ("header", "query", "cookie")
_ENDINGS: Final = (".json", ".yaml", ".yml", ".gz")


@dataclass
class Outcome:
    """What became of one description's calls.

    refused  why, a line each
    sent     the requests that the referee took
    second   how many of those the second opinion takes, of how many; or why it has none
    """

    name: str
    calls: int = 0
    taken: int = 0
    causes: Counter[str] = field(default_factory=Counter[str])
    refused: list[str] = field(default_factory=list[str])
    explained: int = 0
    sent: list[Planned] = field(default_factory=list[Planned])
    second: tuple[int, int] | str = (0, 0)


def main(argv: Sequence[str]) -> int:
    """Run over the descriptions that are named, the small set without any; return the exit code."""
    parser = argparse.ArgumentParser(description="Send invented calls to a mock server of another maker.")
    parser.add_argument("paths", type=Path, nargs="*", default=[SMALL_SET], help="descriptions, or folders of them")
    parser.add_argument("--verbose", action="store_true", help="print every refusal")
    options = parser.parse_args(argv)
    try:
        ensure([ENVIRONMENT])
    except EnvironmentFailed as failed:
        print(failed)
        print("skipped: mesh-wire, because Steady could not be installed")
        return SKIPPED
    with contextlib.suppress(EnvironmentFailed):
        ensure([second.ENVIRONMENT])
    outcomes: list[Outcome] = []
    for path in descriptions(options.paths):
        outcome = judged(path)
        outcomes.append(outcome)
        share = f"{100 * outcome.taken / outcome.calls:5.1f} %" if outcome.calls else "      -"
        other = outcome.second if isinstance(outcome.second, str) else "{}/{}".format(*outcome.second)
        told = f"{share}  second {other[:40]:<12} {_words(outcome.causes)}"
        print(f"{outcome.name:<34} {outcome.taken:5}/{outcome.calls:<5} {told}", flush=True)
        if options.verbose:
            print("\n".join(f"    {line}" for line in outcome.refused))
    calls, taken = sum(one.calls for one in outcomes), sum(one.taken for one in outcomes)
    seconds = [one.second for one in outcomes if not isinstance(one.second, str)]
    print(f"second opinion: {sum(one[0] for one in seconds)} of {sum(one[1] for one in seconds)} that it could judge")
    causes = sum((one.causes for one in outcomes), Counter[str]())
    print(f"{taken} of {calls} calls taken, {100 * taken / max(calls, 1):.2f} %; {_words(causes)}")
    unexplained = calls - taken - sum(one.explained for one in outcomes)
    print(f"{unexplained} refusals have no explanation")
    return 0 if calls and unexplained <= (1 - WANTED_SHARE) * calls else 1


def descriptions(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the descriptions at the paths; a folder that is one description in many files is one."""
    for path in paths:
        if path.is_dir() and not (path / "openapi.yml").exists():
            yield from descriptions(
                [one for one in sorted(path.iterdir()) if one.is_dir() or one.name.endswith(_ENDINGS)]
            )
        else:
            yield path


def judged(path: Path) -> Outcome:
    """Return what the referee says of the calls of one description."""
    outcome = Outcome(path.name)
    try:
        made = make(sources := from_path(path), b"", {})
    except (Refusal, OSError) as error:
        outcome.causes[f"no description: {str(error)[:60]}"] += 0
        return outcome
    entry: Any = made.document.files.values[""]
    files = {name: body for name in made.document.files.read if name and (body := sources.read(name)) is not None}
    with tempfile.TemporaryDirectory() as place:
        try:
            whole = _inlined(made, entry) if files else entry
            with steady(Path(place), _plain(upgraded(whole))) as url:
                _send_all(made, url, outcome)
                outcome.second = _second(_plain(upgraded(whole)), url, outcome.sent)
        except CannotReadIt as error:
            words = str(error).strip().splitlines()
            outcome.causes[f"the referee does not read it: {words[-1][:80] if words else ''}"] += 0
    return outcome


def _second(description: dict[str, Any], url: str, sent: Sequence[Planned]) -> tuple[int, int] | str:
    if not is_made(second.ENVIRONMENT):
        return "not installed"
    told = second.opinions(description, url, sent)
    return told if isinstance(told, str) else (sum(not one for one in told), len(told))


def _inlined(made: Made, entry: dict[str, Any]) -> dict[str, Any]:
    """Return a description in one file: what stands in other files is put where it is referred to, circles cut."""
    files = made.document.files

    def walk(value: Any, file: str, above: tuple[tuple[str, str], ...]) -> Any:
        if is_list(value):
            return [walk(item, file, above) for item in value]
        if not is_object(value):
            return value
        if isinstance(value.get("$ref"), str) and (file or not value["$ref"].startswith("#")):
            try:
                place = files.resolve(value["$ref"], file)
            except BrokenReference:
                return {}
            key = (place.file, place.pointer)
            return {} if key in above or len(above) > MAX_INLINED else walk(place.value, place.file, (*above, key))
        return {name: walk(item, file, above) for name, item in value.items()}

    return walk(entry, "", ())


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a description without servers below its root: every call goes to the referee."""
    paths = {
        path: {
            name: {key: value for key, value in one.items() if key != "servers"} if is_object(one) else one
            for name, one in item.items() if name != "servers"
        } if is_object(item) else item
        for path, item in entry.get("paths", {}).items()
    }  # fmt: skip
    version = "3.1.0" if str(entry.get("openapi", "")).startswith("3.2") else entry.get("openapi")
    return {**entry, "openapi": version, "paths": paths}


def _send_all(made: Made, url: str, outcome: Outcome) -> None:
    with httpx2.Client(trust_env=False, timeout=30.0) as client:
        for number, tool in enumerate(made.toolbox.tools):
            outcome.calls += 1
            cause = _sent(client, tool, url, number, outcome)
            if cause.startswith("500"):
                outcome.calls -= 1
                outcome.causes["not judged: the referee itself fails (500)"] += 1
            elif cause:
                cause = f"{UNDECLARED}, {cause}" if _is_undeclared(cause, tool) else cause
                label = next((words for pattern, words in LABELS if re.search(pattern, cause)), "")
                outcome.explained += bool(label)
                outcome.causes[label or cause.partition(":")[0]] += 1
                outcome.refused.append(f"{tool.operation.key}: {cause}")
            else:
                outcome.taken += 1


def _is_undeclared(cause: str, tool: Tool) -> bool:
    """Say whether the referee misses a member of the body that the description requires and says nothing of."""
    missing = re.search(r'E3007.*"path":"body","message":"Missing required property: ([^"]+)"', cause)
    body = tool.operation.body
    return missing is not None and body is not None and missing[1] not in {one.name for one in body.media.fields}


def _sent(client: httpx2.Client, tool: Tool, url: str, seed: int, outcome: Outcome) -> str:
    """Send one invented call; return why it was not taken, empty when it was."""
    arguments = _invented(tool, seed)
    if arguments is None:
        return "not invented: no arguments that fit the tool's own schema"
    hidden = [one for one in tool.operation.parameters if one.is_hidden and one.required]
    servers = {urljoin(url + "/", filled(server, {})).rstrip("/"): url for server in tool.operation.servers}
    try:
        secrets = [_secret(need.scheme) for need in next((one for one in tool.operation.security if one), ())]
        secrets += [Secret(one.location, one.name, "token") for one in hidden if one.location in _CREDENTIAL_PLACES]
        fields = tool.operation.body.media.fields if tool.operation.body is not None else ()
        hidden_fields = [one for one in fields if one.is_hidden and mapping(one.schema.value).get("type") == "string"]
        secrets += [Secret("body", one.name, "token") for one in hidden_fields]
        planned = plan(tool.operation, arguments, Placing(Site(url, servers), tool.arguments), secrets)
    except Refusal as refused:
        return f"not planned: {refused.message}"
    if not planned.url.startswith(url):
        planned_url = url + planned.url
    else:
        planned_url = planned.url
    headers = [(name.encode(), value.encode()) for name, value in (*planned.headers, ("accept-encoding", "identity"))]
    try:
        response = _asked(client, planned.method, planned_url, headers, planned.body)
    except httpx2.HTTPError as error:
        return f"no answer: {error}"
    declared = {one.status for one in tool.operation.responses}
    if response.status_code < 400 or (str(response.status_code) in declared and not _CODE.search(response.text)):
        outcome.sent.append(replace(planned, url=planned_url))
        return ""
    codes = sorted(set(_CODE.findall(response.text)))
    return f"{response.status_code} {' '.join(codes)}: {response.text[:300]} <- {planned_url[len(url) :][:120]}"


def _asked(
    client: httpx2.Client, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> httpx2.Response:
    """Ask once more when the server closed a connection that it had kept."""
    try:
        return client.request(method, url, headers=headers, content=body or None)
    except httpx2.RemoteProtocolError:
        return client.request(method, url, headers=headers, content=body or None)


def _invented(tool: Tool, seed: int) -> Mapping[str, Any] | None:
    schema = json.loads(json.dumps(tool.full_schema))
    validator = jsonschema_rs.validator_for(schema)
    arguments: dict[str, Any] = {}
    for attempt in range(TRIES):
        arguments = Inventor(schema, seed + attempt * 7919).arguments()
        if validator.is_valid(arguments):
            return arguments
    required = {name: value for name, value in arguments.items() if name in schema.get("required", [])}
    return required if validator.is_valid(required) else None


def _secret(scheme: Any) -> Secret:
    if scheme.kind == "apiKey" and scheme.location:
        return Secret(scheme.location, scheme.parameter, "key")
    return Secret("header", "authorization", "Basic dTpw" if scheme.scheme == "basic" else "Bearer token")


def _words(causes: Counter[str]) -> str:
    return ", ".join(f"{count} {cause}" if count else cause for cause, count in causes.most_common(6))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
